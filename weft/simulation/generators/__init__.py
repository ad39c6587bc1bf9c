"""Workloads that need no file: made up after what was measured or published."""

from weft.simulation.generators.coding_agents import CodingAgents
from weft.simulation.generators.fan_outs import BestOfNWorkload, TreeSearch
from weft.simulation.generators.text_to_sql import TextToSQL

__all__ = ["BestOfNWorkload", "CodingAgents", "TextToSQL", "TreeSearch"]
