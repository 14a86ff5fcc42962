"""From a QDQ model to the device graph, and the rewrites of that graph that save cycles."""

from vlac.legalize.legalize import legalize

__all__ = ["legalize"]
