"""Workloads that need no file: made up after what was measured or published.

Called by `workloads`. To add a generator, mark a class `@source` in a file here. Trades away: what
was not measured of the originals is drawn at random.
"""

from weft.simulation.sources.generators.coding_agents import CodingAgents
from weft.simulation.sources.generators.fan_outs import BestOfNWorkload, TreeSearch
from weft.simulation.sources.generators.text_to_sql import TextToSQL

__all__ = ["BestOfNWorkload", "CodingAgents", "TextToSQL", "TreeSearch"]
