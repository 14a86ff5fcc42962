"""The device graph and the plan as text, for `--dump-after` and for reading tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlac.ir.graph import ConvOp, Graph, PoolOp, Tensor

if TYPE_CHECKING:
    from vlac.passes import Compilation

__all__ = ["graph_text", "plan_text", "print_graph"]


def _tensor(t: Tensor) -> str:
    return f"%{t.label}"


def print_graph(graph: Graph) -> str:
    """One line per input, operation and output."""
    lines = [f"input {_tensor(t)} {t.h}x{t.w}x{t.c} scale {t.scale:.6g} zero {t.zero_point}" for t in graph.inputs]
    for op in graph.ops:
        detail = ""
        if isinstance(op, (ConvOp, PoolOp)):
            kernel, strides = op.kernel, op.strides
            detail = f" kernel {kernel[0]}x{kernel[1]} stride {strides[0]}x{strides[1]}"
        t = op.output
        place = f" in {_tensor(t.parent)} at {t.offset}" if t.parent else ""
        lines.append(
            f"{_tensor(t)} {t.h}x{t.w}x{t.c} scale {t.scale:.6g} zero {t.zero_point}{place} = "
            f"{type(op).__name__}({', '.join(map(_tensor, op.inputs))}){detail}  # {op.node}"
        )
    lines += [f"output {o.name} {list(o.shape)} = {_tensor(o.tensor)}" for o in graph.outputs]
    return "\n".join(lines) + "\n"


def graph_text(c: Compilation) -> str:
    """The device graph of a compilation."""
    assert c.graph is not None
    return print_graph(c.graph)


def plan_text(c: Compilation) -> str:
    """Stages with bands and chunks, and the regions of the activation scratchpad."""
    assert c.graph is not None and c.plan is not None and c.regions is not None
    lines = []
    for number, stage in enumerate(c.plan.stages):
        for p in stage.plans:
            if p.op.queue:
                lines.append(f"stage {number} {p.op.queue} {p.op.node}: bands {p.bands} chunks {p.chunks}")
    for i in c.regions.items:
        lines.append(
            f"act {i.base}..{i.base + i.size} stages {i.first}..{i.last} ring {i.ring} "
            f"row {i.row_stride} pitch {i.pitch} {_tensor(i.tensor)}"
        )
    lines += [f"streamed {_tensor(t)}" for t in c.graph.tensors if t in c.plan.streamed]
    return "\n".join(lines) + "\n"
