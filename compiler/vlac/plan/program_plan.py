"""Plan a whole program: cut, regions on chip, and the data space, each made for the others."""

from __future__ import annotations

from dataclasses import dataclass

from vla_isa.hardware import LINE_BYTES, HardwareConfig
from vlac.ir.graph import Graph
from vlac.plan.banded import allocate_in_bands
from vlac.plan.data_space import DataSpace, place_data
from vlac.plan.plan import Plan
from vlac.plan.regions import Regions
from vlac.plan.rounds import once_first, share_constants
from vlac.plan.rows_in_place import rows_in_place
from vlac.plan.split import split_operations

__all__ = ["PARAMETERS", "ProgramPlan", "plan_program"]

PARAMETERS = "parameters"  # their name in the memory map


@dataclass(frozen=True)
class ProgramPlan:
    """What the emission of a program needs: the cut, where tensors lie on chip and in the data space.

    `params_line` is the data-space line of the first operation's parameters; the others follow without gaps.
    """

    plan: Plan
    regions: Regions
    data: DataSpace
    params_line: int


def plan_program(graph: Graph, hw: HardwareConfig) -> ProgramPlan:
    """Cut the operations of a placed graph, which may split them, and give everything its place.

    Raises:
        AllocationError: something does not fit however it is cut.
    """
    share_constants(graph)
    copied_again = rows_in_place(graph, hw.block)
    once_first(graph)
    split_operations(graph, hw)
    plan, regions = allocate_in_bands(graph, hw, copied_again)
    data = place_data(graph, plan, hw.block)
    owners = [plan.plans[i] for i in set(plan.owners)]
    size = sum(p.cut.params.size * len(p.op.experts) for p in owners) * hw.param_word_bytes
    return ProgramPlan(plan, regions, data, data.take(size // LINE_BYTES, PARAMETERS) if size else 0)
