"""Specs of weft's strategies."""

from dataclasses import replace
from typing import Any, cast

from weft.search import Strategy, parse_strategy

EACH = [
    "greedy",
    "best_of_n(n=6)",
    "majority(n=6)",
    "majority(n=6, confidence=0.7)",
    "weighted_majority(n=6)",
    "rpc(n=6)",
    "sample_until(n=6)",
    "choice_shuffle(n=4)",
    "chops(n=3)",
    "mbr(n=3)",
    "compute_optimal(learn=true)",
    "by_demands(learn=true)",
    "pets(n=6)",
    "pets_online(n=6)",
    "first_finish(n=3)",
    "short_m_at_k(m=2, k=4)",
    "deepconf(n=6)",
    "deepconf_online(n=8, warmup=4)",
    "convergence_probe(every=16, agree=2)",
    "conformal_exit(every=16, learn=true)",
    "budget_forcing(waits=2)",
    "trimr",
    "specreason",
    "glimprouter",
    "nudging",
    "atts(n=3)",
    "cascade",
    "cascade(ways='draft solver/low', verifier=logprob, threshold=1)",
    "think_if_needed",
    "effort",
    "bandit",
    "bandit(ways='solver/none:2 draft', explore=thompson)",
    "prompt_variants",
    "asked",
    "archon",
    "archon(layers='generator(n=2) + generator(of=rpc(n=2)) | screen | unit_tests | evaluator')",
    "asked(of=majority(n=6), tokens=900)",
    "beam(n=8, width=4)",
    "dvts(n=6, width=3)",
    "rebase(n=6)",
    "astar(k=4)",
    "astar(k=3, parallel=3, cost=fall, heuristic=log, solutions=2, pick=vote)",
    "particle_filter(n=6)",
    "mcts(n=40)",
    "particle_gibbs(n=3)",
    "particle_gibbs(n=3, sweeps=2, chains=2, pick=vote)",
    "power(n=4)",
    "mcts(n=32, width=3, explore=0.3, parallel=8, pick=vote)",
    "ab_mcts(n=24)",
    "ab_mcts(n=40, belief=beta, parallel=3)",
    "ab_mcts(n=40, belief=mixed)",
    "particle_filter(n=6, pick=draw, verifier=logprob)",
    "segment_rejection",
    "segment_rejection(every=3, tries=2, threshold=0.8)",
    "hyper(n=6)",
    "hyper(n=6, every=3, tokens=90)",
    "treepo(n=6)",
    "plangen(rounds=3)",
    "revise(n=3)",
    "switch",
    "cpt(n=3)",
    "spar(n=5)",
    "spar(n=6, order=depth, width=3, verdicts=1)",
    "treepo(n=5, every=3, split=probability)",
]
"""Each strategy, in its usual and in some unusual form."""

ONE_EACH = list({spec.partition("(")[0]: spec for spec in reversed(EACH)}.values())[::-1]
"""Each strategy in its usual form."""

STEPWISE = [spec for spec in ONE_EACH if parse_strategy(spec).texts is None]
"""Those that write their answers in steps, or in other pieces."""

SAMPLING = [spec for spec in ONE_EACH if spec not in STEPWISE]
"""Those that draw whole answers."""

VERIFYING = [s for s in ONE_EACH if "verifier" in {p.name for p in parse_strategy(s).parameters()}]
"""Those that ask a verifier."""


def checking(spec: str, verifier: str = "function") -> Strategy:
    """A strategy that has the question's own check for its verifier, or another one."""
    return replace(cast(Any, parse_strategy(spec)), verifier=verifier)
