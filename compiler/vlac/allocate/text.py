"""The plan as text, for `--dump-after`. Not here: the device graph (`device/text.py`)."""

from __future__ import annotations

from vlac.allocate.regions import Regions
from vlac.ir.graph import Graph
from vlac.tile.plan import Plan

__all__ = ["plan_text"]


def plan_text(graph: Graph, plan: Plan, regions: Regions) -> str:
    """Stages with bands and chunks, and the regions of the activation scratchpad."""
    lines = []
    for number, stage in enumerate(plan.stages):
        for p in stage.plans:
            if p.op.queue:
                lines.append(f"stage {number} {p.op.queue} {p.op.node}: bands {p.bands} chunks {p.chunks}")
    for i in regions.items:
        lines.append(
            f"act {i.base}..{i.base + i.size} stages {i.first}..{i.last} ring {i.ring} "
            f"row {i.row_stride} pitch {i.pitch} %{i.tensor.label}"
        )
    lines += [f"streamed %{t.label}" for t in graph.tensors if t in plan.streamed]
    return "\n".join(lines) + "\n"
