"""The device graph as text, for `--dump-after` and for reading tests."""

from __future__ import annotations

from vlac.ir.graph import Graph
from vlac.ir.operation import Tensor

__all__ = ["graph_text"]


def _tensor(t: Tensor) -> str:
    return f"%{t.label}"


def graph_text(graph: Graph) -> str:
    """One line per input, operation and output."""
    lines = [f"input {_tensor(t)} {t.h}x{t.w}x{t.c} scale {t.scale:.6g} zero {t.zero_point}" for t in graph.inputs]
    for op in graph.ops:
        t = op.output
        place = f" in {_tensor(t.parent)} at {t.offset}" if t.parent else ""
        lines.append(
            f"{_tensor(t)} {t.h}x{t.w}x{t.c} scale {t.scale:.6g} zero {t.zero_point}{place} = "
            f"{type(op).__name__}({', '.join(map(_tensor, op.inputs))}){op.detail}  # {op.node}"
        )
    lines += [f"output {o.name} {list(o.shape)} = {_tensor(o.tensor)}" for o in graph.outputs]
    return "\n".join(lines) + "\n"
