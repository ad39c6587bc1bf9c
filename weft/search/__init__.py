"""Reasoning strategies: each a program that answers a Question.

Sampling strategies draw whole answers and choose among them. Allocation shares samples out over
questions. Step searches grow partial answers, step by step, along one frontier of open paths; tree
searches walk down to these paths from the root. All are made from specs such as
`best_of_n(n=16, verifier=model)`.

Called by evaluations and by the service. To add a strategy, verifier or reader, mark a class
`@strategy`, `@verifier` or `@reader`. Trades away: a strategy sees texts and scores, not the
inside of a model.
"""

from __future__ import annotations

from weft.parts.parameters import param
from weft.search.agents.dfsdt import AgentTurn, Explored, Place, dfsdt
from weft.search.agents.plangen import PlanGen
from weft.search.agents.preferences import Preference, preferences, write_preferences
from weft.search.allocation.by_demands import ByDemands
from weft.search.allocation.compute_optimal import ComputeOptimal
from weft.search.allocation.pets import Pets
from weft.search.allocation.pets_online import PetsOnline
from weft.search.allocation.switch import Switch
from weft.search.collaboration.atts import Atts
from weft.search.collaboration.glimprouter import GlimpRouter
from weft.search.collaboration.nudging import Nudging
from weft.search.collaboration.pipelines.archon import Archon
from weft.search.collaboration.routing.asked import Asked
from weft.search.collaboration.routing.bandit import Bandit
from weft.search.collaboration.routing.cascade import Cascade
from weft.search.collaboration.routing.effort import Effort
from weft.search.collaboration.routing.prompt_variants import PromptVariants
from weft.search.collaboration.routing.think_if_needed import ThinkIfNeeded
from weft.search.collaboration.specreason import SpecReason
from weft.search.early_exit.budget_forcing import BudgetForcing
from weft.search.early_exit.conformal_exit import ConformalExit
from weft.search.early_exit.convergence_probe import ConvergenceProbe
from weft.search.early_exit.deepconf import DeepConf
from weft.search.early_exit.deepconf_online import DeepConfOnline
from weft.search.early_exit.trimr import TrimR
from weft.search.readers import Reader, reader
from weft.search.refinement.revise import Revise
from weft.search.refinement.spar import Spar
from weft.search.sampling.attempts import Chosen, best_of, choose, majority_of
from weft.search.sampling.best_of_n import BestOfN
from weft.search.sampling.first_finish import FirstFinish
from weft.search.sampling.greedy import Greedy
from weft.search.sampling.power import Power
from weft.search.sampling.sample_until import SampleUntil
from weft.search.sampling.selection.chops import Chops
from weft.search.sampling.selection.mbr import Mbr
from weft.search.sampling.short_m_at_k import ShortMAtK
from weft.search.sampling.votes.choice_shuffle import ChoiceShuffle
from weft.search.sampling.votes.majority import Majority
from weft.search.sampling.votes.rpc import Rpc
from weft.search.sampling.votes.weighted_majority import WeightedMajority
from weft.search.step_search.astar import AStar
from weft.search.step_search.beam import Beam
from weft.search.step_search.dvts import Dvts
from weft.search.step_search.particle_filter import ParticleFilter
from weft.search.step_search.particle_gibbs import ParticleGibbs
from weft.search.step_search.rebase import Rebase
from weft.search.step_search.segments.cpt import Cpt
from weft.search.step_search.segments.hyper import Hyper
from weft.search.step_search.segments.segment_rejection import SegmentRejection
from weft.search.step_search.segments.treepo import TreePO
from weft.search.step_search.tree_search.ab_mcts import AbMcts
from weft.search.step_search.tree_search.mcts import Mcts
from weft.search.strategy import Answer, Question, Strategy, parse_strategy, strategies, strategy
from weft.search.verifiers import Confidence, Verifier, verifier

__all__ = [
    "AStar",
    "AbMcts",
    "AgentTurn",
    "Answer",
    "Archon",
    "Asked",
    "Atts",
    "Bandit",
    "Beam",
    "BestOfN",
    "BudgetForcing",
    "ByDemands",
    "Cascade",
    "ChoiceShuffle",
    "Chops",
    "Chosen",
    "ComputeOptimal",
    "Confidence",
    "ConformalExit",
    "ConvergenceProbe",
    "Cpt",
    "DeepConf",
    "DeepConfOnline",
    "Dvts",
    "Effort",
    "Explored",
    "FirstFinish",
    "GlimpRouter",
    "Greedy",
    "Hyper",
    "Majority",
    "Mbr",
    "Mcts",
    "Nudging",
    "ParticleFilter",
    "ParticleGibbs",
    "Pets",
    "PetsOnline",
    "Place",
    "PlanGen",
    "Power",
    "Preference",
    "PromptVariants",
    "Question",
    "Reader",
    "Rebase",
    "Revise",
    "Rpc",
    "SampleUntil",
    "SegmentRejection",
    "ShortMAtK",
    "Spar",
    "SpecReason",
    "Strategy",
    "Switch",
    "ThinkIfNeeded",
    "TreePO",
    "TrimR",
    "Verifier",
    "WeightedMajority",
    "best_of",
    "choose",
    "dfsdt",
    "majority_of",
    "param",
    "parse_strategy",
    "preferences",
    "reader",
    "strategies",
    "strategy",
    "verifier",
    "write_preferences",
]
