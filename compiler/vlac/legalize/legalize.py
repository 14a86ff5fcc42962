"""QDQ model to device graph: lower, fuse what one instruction can do, then place every tensor's channels."""

from __future__ import annotations

from itertools import count

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.analysis.support import check_support
from vlac.ir.graph import Graph, GraphOutput
from vlac.legalize.copy_inputs import copy_inputs
from vlac.legalize.fuse_residual import fuse_residuals
from vlac.legalize.fuse_same_source import fuse_same_source
from vlac.legalize.fuse_table import fuse_tables
from vlac.legalize.lower import lower
from vlac.legalize.moves import realize_moves
from vlac.legalize.order import pools_first
from vlac.legalize.place import place
from vlac.legalize.prune import prune
from vlac.legalize.rounding import apply_rounding
from vlac.legalize.space_to_depth import space_to_depth

__all__ = ["legalize"]


def legalize(model: ir.Model, hw: HardwareConfig, *, debug_outputs: bool = False) -> Graph:
    """The device graph of a QDQ model, ready for tiling.

    Args:
        debug_outputs: return every tensor of the device as a further output, named by its quantized value.

    Raises:
        UnsupportedError: all nodes that break a rule, or a value that is not quantized.
    """
    check_support(model, hw)
    graph = lower(model)
    apply_rounding(graph, model)
    fuse_same_source(graph)
    prune(graph)
    fuse_tables(graph)
    fuse_residuals(graph)
    realize_moves(graph, hw)
    copy_inputs(graph)
    pools_first(graph)
    if debug_outputs:
        _add_debug_outputs(graph)
    space_to_depth(graph, hw)
    place(graph, hw)
    return graph


def _add_debug_outputs(graph: Graph) -> None:
    known = {o.tensor for o in graph.outputs}
    taken = {o.name for o in graph.outputs}
    for op in graph.ops:
        t = op.output
        if op.queue and t not in known:
            numbered = (f"{t.name}#{n}" if n else t.name for n in count())  # two copies of one tensor have one name
            name = next(n for n in numbered if n not in taken)
            taken.add(name)
            graph.outputs.append(GraphOutput(name, t.shape, t, debug=True))
