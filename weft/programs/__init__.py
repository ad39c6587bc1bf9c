"""What a program is: Prompts, calls, nodes, fan-outs, budgets and runs.

Called by users' programs, by strategies and by evaluations. To add a kind of call, go through
`calls.call`, which asks budgets, Store and scheduler. Trades away: the current run is found by a
context variable, so a call needs no argument for the run but depends on where it is made.
"""

from weft.programs.budgets.budget import budget
from weft.programs.budgets.limits import Limits
from weft.programs.calls.completion import Completion
from weft.programs.calls.generate import generate
from weft.programs.calls.score import score
from weft.programs.durable.once import once
from weft.programs.durable.person import ask_person
from weft.programs.durable.sleeping import sleep
from weft.programs.fan_out import fan_out
from weft.programs.history.journal import Event
from weft.programs.nodes import node, program
from weft.programs.prompt import Prompt
from weft.programs.runs import Run, run, run_sync
from weft.programs.scope.waiting import waiting

__all__ = [
    "Completion",
    "Event",
    "Limits",
    "Prompt",
    "Run",
    "ask_person",
    "budget",
    "fan_out",
    "generate",
    "node",
    "once",
    "program",
    "run",
    "run_sync",
    "score",
    "sleep",
    "waiting",
]
