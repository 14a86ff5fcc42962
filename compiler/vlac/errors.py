"""Refusals of the compiler. Each message names the thing, the value, the limit and what to do.

Not here: errors of the instruction set and the program image (`vla_isa.errors`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from vla_isa.errors import VlaError

__all__ = ["AllocationError", "CalibrationError", "GraphError", "ModelError", "Refusal", "UnsupportedError", "grouped"]

_HINT = "\nWith --allow-host such nodes run in ONNX Runtime, between device partitions."
_NAMED = 3  # nodes that a message about many of a kind names


class ModelError(VlaError):
    """The ONNX file is missing, damaged or not what the compiler reads."""


class CalibrationError(VlaError):
    """Calibration data is missing or does not fit the model."""


class AllocationError(VlaError):
    """A tensor or a layer's weights do not fit on chip, however they are cut; `node` is the layer, where known."""

    def __init__(self, message: str, node: str = "") -> None:
        """`node`: label of the layer."""
        self.node = node
        super().__init__(message)


class GraphError(VlaError):
    """The device graph breaks a rule: an error of the compiler, which its own checks found."""


@dataclass(frozen=True)
class Refusal:
    """A node that cannot run on the machine.

    Attributes:
        op: its operator.
        node: its label.
        cause: a sentence: the rule it breaks, or what it lacks.
        found: what was found where the rule asks for something else.
        advice: what to do, where there is more to do than to let it run on the host.
        machine: the hardware config, where the rule is one of its limits.
    """

    op: str
    node: str
    cause: str
    found: str = ""
    advice: str = ""
    machine: str = ""

    @property
    def reason(self) -> str:
        """Why, without the node."""
        return f"{self.cause} Found {self.found}." if self.found else self.cause

    def __str__(self) -> str:
        """One sentence for a person."""
        return self.about(f"{self.op} '{self.node}'", self.found)

    def about(self, nodes: str, found: str) -> str:
        """One sentence about these nodes."""
        where = f" cannot run on '{self.machine}'" if self.machine else ""
        return f"{nodes}{where}: {self.cause}{found and f' Found {found}.'}{self.advice and f'; {self.advice}'}"


def grouped(refusals: Iterable[Refusal]) -> list[str]:
    """One sentence per cause: how many nodes it hits, the names of the first, and what each of these has."""
    groups: dict[Refusal, list[Refusal]] = {}
    for refusal in refusals:
        groups.setdefault(replace(refusal, node="", found=""), []).append(refusal)
    return [str(g[0]) if len(g) == 1 else _joined(g) for g in groups.values()]


def _joined(group: list[Refusal]) -> str:
    first, rest = group[0], len(group) - _NAMED
    names = ", ".join(f"'{r.node}'" for r in group[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
    each = list(dict.fromkeys(r.found for r in group))
    found = "; ".join(each[:_NAMED]) + (f"; and {len(each) - _NAMED} others" if len(each) > _NAMED else "")
    return first.about(f"{first.op} x {len(group)} ({names})", found)


class UnsupportedError(VlaError):
    """Nodes that cannot run on the machine: all of them at once, each with the rule it breaks."""

    def __init__(self, reasons: Iterable[str | Refusal], nodes: Iterable[str] = ()) -> None:
        """`reasons`: one per refused node; `nodes`: their labels, where the raiser knows them and no Refusal does."""
        given = list(reasons)
        self.refusals = [r for r in given if isinstance(r, Refusal)]
        self.reasons = tuple(str(r) for r in given)
        self.nodes = tuple(nodes) or tuple(r.node for r in self.refusals)
        lines = [*(r for r in given if isinstance(r, str)), *grouped(self.refusals)]
        text = "\n  ".join(lines)
        if len(given) > 1:
            text = f"{len(given)} nodes cannot run on the machine:\n  {text}"
        super().__init__(f"{text}{_HINT if self.nodes else ''}")
