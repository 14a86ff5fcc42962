"""QDQ model to device graph: lower, fuse what one instruction can do, then place every tensor's channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vla_isa.layout import TensorLayout
from vlac.analysis.support import check_support
from vlac.errors import UnsupportedError
from vlac.ir.graph import Graph, GraphOutput
from vlac.legalize.constant_inputs import set_constants
from vlac.legalize.copies_of_heads import copies_of_heads
from vlac.legalize.copy_inputs import copy_inputs
from vlac.legalize.exchanged_halves import exchange_halves
from vlac.legalize.fuse_residual import fuse_residuals
from vlac.legalize.fuse_same_source import fuse_same_source
from vlac.legalize.fuse_table import fuse_tables
from vlac.legalize.fuse_wide_add import fuse_wide_adds
from vlac.legalize.heads_as_rows import heads_as_rows
from vlac.legalize.keys_first import keys_first
from vlac.legalize.layout_ops import realize_layout_ops
from vlac.legalize.limits_of_rows import limits_of_rows
from vlac.legalize.lower import lower
from vlac.legalize.mask_tasks import mask_tasks
from vlac.legalize.order import pools_first
from vlac.legalize.place import place
from vlac.legalize.prune import prune
from vlac.legalize.rounding import apply_rounding
from vlac.legalize.shared_inputs import lie_as
from vlac.legalize.space_to_depth import space_to_depth
from vlac.model.task_masks import TaskMasks

__all__ = ["GraphPass", "graph_passes", "legalize", "run_graph_passes"]

GraphPass = Callable[[Graph], None]


def legalize(
    model: ir.Model,
    hw: HardwareConfig,
    *,
    constants: Mapping[str, Any] | None = None,
    debug_outputs: bool = False,
    check: bool = False,
    layouts: Mapping[str, TensorLayout] | None = None,
    tasks: TaskMasks | None = None,
) -> Graph:
    """The device graph of a QDQ model, ready for planning.

    Args:
        constants: values of inputs that are known, by name.
        debug_outputs: return every tensor of the device as a further output, named by its quantized value.
        check: verify the graph after every pass.
        layouts: how inputs lie that another graph of the program makes, by name.
        tasks: what is live in which task.

    Raises:
        UnsupportedError: all nodes that break a rule, or a value that is not quantized.
        GraphError: with `check`, the first pass that leaves the graph wrong.
    """
    check_support(model, hw)
    graph = lower(model)
    lie_as(graph, layouts or {})
    _refuse_wide(graph)
    run_graph_passes(graph, graph_passes(model, hw, constants=constants, debug_outputs=debug_outputs), check=check)
    _refuse_wide(graph)
    mask_tasks(graph, tasks or TaskMasks(), hw)
    return graph


def _refuse_wide(graph: Graph) -> None:
    """Refuse int16 where an instruction takes int8 only.

    Raises:
        UnsupportedError: every such operation.
    """
    reasons: dict[str, str] = {}
    for op in graph.ops:
        for t in (*op.inputs, op.output):
            if t.planes == 2 and not op.takes_wide(t):
                reasons[op.node] = (
                    f"{op.op_type} '{op.node}': '{t.label}' is int16, which it cannot take; quantize it to int8"
                )
    if reasons:
        raise UnsupportedError(reasons.values(), nodes=reasons)


def graph_passes(
    model: ir.Model, hw: HardwareConfig, *, constants: Mapping[str, Any] | None = None, debug_outputs: bool
) -> list[tuple[str, GraphPass]]:
    """The passes over the device graph in order, by name."""
    return [
        ("lower", lambda graph: None),
        ("rounding", lambda graph: apply_rounding(graph, model)),
        *([("constant_inputs", lambda graph: set_constants(graph, constants))] if constants else []),
        ("fuse_same_source", fuse_same_source),
        ("prune", prune),
        ("fuse_table", fuse_tables),
        ("fuse_residual", fuse_residuals),
        ("fuse_wide_add", fuse_wide_adds),
        ("layout_ops", lambda graph: realize_layout_ops(graph, hw)),
        ("copy_inputs", copy_inputs),
        ("order", pools_first),
        *([("debug_outputs", _add_debug_outputs)] if debug_outputs else []),
        ("exchanged_halves", lambda graph: exchange_halves(graph, hw)),
        ("space_to_depth", lambda graph: space_to_depth(graph, hw)),
        ("place", lambda graph: place(graph, hw)),
        ("copies_of_heads", lambda graph: copies_of_heads(graph, hw)),
        ("heads_as_rows", lambda graph: heads_as_rows(graph, hw)),
        ("limits_of_rows", lambda graph: limits_of_rows(graph, hw)),
        ("keys_first", lambda graph: keys_first(graph, hw)),
    ]


def run_graph_passes(graph: Graph, passes: Sequence[tuple[str, GraphPass]], *, check: bool) -> None:
    """Run passes over a device graph; with `check` the graph must be right after each.

    Raises:
        GraphError: names the pass after which it is not.
    """
    for name, run in passes:
        run(graph)
        if check:
            graph.verify(name)


def _add_debug_outputs(graph: Graph) -> None:
    known = {o.tensor for o in graph.outputs}
    taken = {o.name for o in graph.outputs}
    for op in graph.ops:
        t = op.output
        if op.is_shown and t not in known:
            numbered = (f"{t.name}#{n}" if n else t.name for n in count())  # two copies of one tensor have one name
            name = next(n for n in numbered if n not in taken)
            taken.add(name)
            graph.outputs.append(GraphOutput(name, t.shape, t, debug=True))
