"""Memory: concepts that were learned from solved problems, for problems that come later.

A `ConceptMemory` lies in a Store's database. `learn` writes to it what was verified, `recall` picks
what a problem may need, `study` does both for many problems in batches. Called by users' programs.
To remember something else than concepts, write a room of its own over `programs.durable.seen`, so
that a rerun sees what it saw. Trades away: the model picks by a compact index, so what the index
does not show is not found.
"""

from weft.memory.concept import Concept, merged, rendered
from weft.memory.kept_concepts import ConceptMemory
from weft.memory.learning import learn
from weft.memory.recalling import Recalled, recall
from weft.memory.studying import Studied, study

__all__ = [
    "Concept",
    "ConceptMemory",
    "Recalled",
    "Studied",
    "learn",
    "merged",
    "recall",
    "rendered",
    "study",
]
