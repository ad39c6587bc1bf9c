"""Causes by their names: of tokens that were not cached, and of waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

MissCause = Literal[
    "new",
    "evicted",
    "superseded",
    "down",
    "sibling",
    "elsewhere",
    "salt",
    "differs",
    "boundary",
]
"""Why tokens of a prompt were computed:

- `new`: they were never sent before;
- `evicted`: the engine had them, and gave their room to others;
- `superseded`: their conversation went on without them, so that they were forgotten first;
- `down`: the engine had them, and was down since;
- `sibling`: a call that has them too was still computing them;
- `elsewhere`: another engine had them;
- `salt`: they were sent under another cache salt;
- `differs`: the conversation was rendered otherwise than before from some token on;
- `boundary`: they were sent before, and are no whole block, or the last token.
"""

WaitCause = Literal["busy", "admission", "displaced", "ahead", "budget", "down"]
"""Why a call waited:

- `busy`: its engine ran all that it could;
- `admission`: the policy kept it out;
- `displaced`: its program's claim had been given to others, and the policy kept it out;
- `ahead`: others were ahead of it;
- `budget`: other calls held what its budget has;
- `down`: no engine was up.
"""


WAITED: Mapping[str, str] = MappingProxyType(
    {
        "busy": "its engine ran all that it could",
        "admission": "the policy kept it out",
        "displaced": "its program's room had been given to others",
        "ahead": "others were ahead of it",
        "budget": "other calls held what its budget has",
        "down": "no engine was up",
    }
)
"""The same in words."""
MISSED: Mapping[str, str] = MappingProxyType(
    {
        "new": "never sent before",
        "evicted": "evicted",
        "superseded": "superseded by what their conversation went on with",
        "down": "lost when the engine was down",
        "sibling": "still being computed for another call",
        "elsewhere": "on another engine",
        "salt": "under another cache salt",
        "differs": "rendered otherwise than before",
        "boundary": "no whole block, or the prompt's last token",
    }
)
"""Causes of misses in words."""


class Miss(NamedTuple):
    """Tokens of one prompt that were computed for one cause.

    Attributes:
        cause: its name.
        tokens: how many.
        at: index of the first of them.
        by: the call that is to blame, or had them; empty if none is known.
        program: whose call that is.
        engine: where, if it is another engine.
    """

    cause: MissCause
    tokens: int
    at: int
    by: str = ""
    program: str = ""
    engine: str = ""

    def __str__(self) -> str:
        """As a sentence without its end."""
        whose = f"{self.by} of {self.program}" if self.by else ""
        match self.cause:
            case "new":
                why = "had not been sent before"
            case "evicted":
                why = f"were evicted by {whose}" if whose else "were evicted, by whom is not known"
            case "superseded":
                why = f"were superseded by {whose}, and forgotten"
            case "down":
                why = f"were there, by {whose}, before the engine was down"
            case "sibling":
                why = f"were still being computed for {whose}"
            case "elsewhere":
                why = f"were on {self.engine}" + (f", by {whose}" if whose else "")
            case "salt":
                why = f"were there under another cache salt, by {whose}"
            case "differs":
                why = f"differ from those of {whose} from token {self.at} on"
            case "boundary":
                why = "were there, but are no whole block, or end the prompt"
        return f"{self.tokens} tokens {why}"


Missed = Callable[[str, str, Sequence[Miss]], None]
"""Is told of a program, a call, and why some of the call's prompt was computed."""
