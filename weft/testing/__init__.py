"""Testing: what users' tests of their programs need, without a model and without waiting.

Called by users' tests alone. `scripts` has answers for a `ScriptedEngine`, `people` answers what a
program asks people, `virtual_time` runs without waiting, and `recording` has answers that a real
engine gave once. To add something, write it beside them; nothing in weft may need this room.
Trades away: whoever answers here knows nothing, so a test says that a program does what it
should with certain answers, not that a model gives such answers.
"""

from weft.backends.forbidden import forbid_engines
from weft.testing.people import people
from weft.testing.recording import recorded
from weft.testing.scripts import calls, conversation, conversations
from weft.testing.virtual_time import in_virtual_time

__all__ = [
    "calls",
    "conversation",
    "conversations",
    "forbid_engines",
    "in_virtual_time",
    "people",
    "recorded",
]
