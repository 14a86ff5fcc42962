"""The plan as text, for `--dump-after`. Not here: the device graph (`ir/text.py`)."""

from __future__ import annotations

from vlac.ir.graph import Graph
from vlac.plan.program_plan import ProgramPlan

__all__ = ["plan_text"]


def plan_text(graph: Graph, planned: ProgramPlan) -> str:
    """Stages with bands and chunks, and the regions of the activation scratchpad."""
    lines, plan = [], planned.plan
    for number, stage in enumerate(plan.stages):
        for p in stage.plans:
            if p.op.queue:
                lines.append(f"stage {number} {p.op.queue} {p.op.node}: bands {p.cut.bands} chunks {p.cut.chunks}")
    for i in planned.regions.items:
        lines.append(
            f"act {i.base}..{i.base + i.size} stages {i.first}..{i.last} ring {i.ring} "
            f"row {i.row_stride} pitch {i.pitch} %{i.tensor.label}"
        )
    lines += [f"streamed %{t.label}" for t in graph.tensors if t in plan.streamed]
    return "\n".join(lines) + "\n"
