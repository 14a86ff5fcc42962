"""The operator page: every operator with how it runs and its rules, from the OpSpecs alone."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from vla_isa.hardware import HardwareConfig
from vlac.lowering.spec import OpSpec, rule_text

__all__ = ["operator_page", "operator_text"]

_WIDTH = 80  # columns of a terminal
_MANY = 4  # operators from which on a rule is shared


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
    """The same for a terminal; rules that many operators share are written once, at the end."""
    counts = Counter(rule_text(r, hw) for s in specs for r in s.rules)
    shared = [text for text, count in counts.items() if count >= _MANY]
    lines = []
    for spec in specs:
        rules = [rule_text(r, hw) for r in spec.rules]
        lines += textwrap.wrap(spec.summary, _WIDTH, initial_indent=f"{spec.name:<20} ", subsequent_indent=" " * 21)
        for text in [r for r in rules if r not in shared]:
            lines += textwrap.wrap(text, _WIDTH, initial_indent=" " * 21 + "- ", subsequent_indent=" " * 23)
        numbers = [f"({n})" for n, text in enumerate(shared, 1) if text in rules]
        if numbers:
            lines.append(" " * 21 + f"- {', '.join(numbers)} below")
    lines.append(f"\nRules that many share, with the limits of '{hw.name}':")
    for number, text in enumerate(shared, 1):
        lines += textwrap.wrap(text, _WIDTH, initial_indent=f"({number}) ", subsequent_indent="    ")
    return "\n".join(lines) + "\n"
