"""What engines hold in their caches, and what weft itself has kept."""

from weft.cache.prefix import PrefixIndex
from weft.cache.store import Store

__all__ = ["PrefixIndex", "Store"]
