"""The operator page: every operator with how it runs and its rules, from the OpSpecs alone."""

from __future__ import annotations

from collections.abc import Sequence

from vla_isa.hardware import HardwareConfig
from vlac.ops.spec import OpSpec, rule_text

__all__ = ["operator_page", "operator_text"]


def operator_page(specs: Sequence[OpSpec], hw: HardwareConfig) -> str:
    """docs/reference/operators.md; limits are those of `hw`."""
    lines = [
        "# Operators",
        "",
        f"Written by `vlac ops --markdown`; limits are those of `{hw.name}`. ONNX opset 7 to 24, static shapes.",
        "",
        "| Operator | How it runs | Rules |",
        "|---|---|---|",
    ]
    for spec in specs:
        rules = "<br>".join(rule_text(r, hw) for r in spec.rules) or "-"
        lines.append(f"| {spec.name} | {spec.summary} | {rules} |")
    return "\n".join(lines) + "\n"


def operator_text(specs: Sequence[OpSpec], hw: HardwareConfig) -> str:
    """The same for a terminal."""
    lines = []
    for spec in specs:
        lines.append(f"{spec.name:<20} {spec.summary}")
        lines += [f"{'':<22}- {rule_text(r, hw)}" for r in spec.rules]
    return "\n".join(lines) + "\n"
