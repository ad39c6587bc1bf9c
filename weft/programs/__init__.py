"""What a program is: Prompts, calls, nodes, fan-outs, budgets and runs."""

from weft.programs.budget import Limits, budget
from weft.programs.completion import Completion
from weft.programs.fan_out import fan_out
from weft.programs.generate import generate
from weft.programs.journal import Event
from weft.programs.nodes import node, program
from weft.programs.prompt import Prompt
from weft.programs.runs import Run, run, run_sync
from weft.programs.score import score

__all__ = [
    "Completion",
    "Event",
    "Limits",
    "Prompt",
    "Run",
    "budget",
    "fan_out",
    "generate",
    "node",
    "program",
    "run",
    "run_sync",
    "score",
]
