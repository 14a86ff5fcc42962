"""All conformance suites: the runtime's, and T3, which needs the compiler."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vla_isa.hardware import HardwareConfig
from vlarun.conformance import runner
from vlarun.conformance.programs import Case
from vlarun.conformance.runner import Choice, Suite

__all__ = ["SUITES"]


def _graphs(hw: HardwareConfig, choice: Choice) -> Iterator[Case]:
    from vla_toolchain.conformance import graph_cases  # only this suite loads the compiler

    return graph_cases.cases(hw, choice.match)


SUITES: Mapping[str, Suite] = {**runner.SUITES, "T3": _graphs}
