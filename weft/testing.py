"""For tests of users' programs: what keeps them from engines that compute or cost something."""

from weft.backends.forbidden import forbid_engines

__all__ = ["forbid_engines"]
