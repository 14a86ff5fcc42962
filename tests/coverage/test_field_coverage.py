"""Every class of values of every instruction field runs in conformance, or has a reason; the page says so."""

from __future__ import annotations

from fnmatch import fnmatch

import coverage_page
import field_coverage
import pytest
import value_classes
from write_page import field_text

from vla_isa import hardware
from vla_isa.fields import Field
from vla_isa.instructions import CONV, GEMM, TABLE


def test_nothing_is_missing_and_the_page_is_up_to_date() -> None:
    text, problems = field_text()
    assert not problems, "\n".join(problems)
    page = coverage_page.split(coverage_page.PAGE.read_text(encoding="utf-8"))[0]
    assert page == text, "docs/reference/coverage.md is out of date: python tests/coverage/write_page.py --fields"


def problems(packets: tuple[field_coverage.Packet, ...]) -> list[str]:
    return field_coverage.problems(
        list(field_coverage.rows("tiny", packets)), {"tiny": field_coverage.combinations(packets)}
    )


@pytest.mark.parametrize(
    ("case", "gap"),
    [
        ("T1.limit.conv.sizes", "CONV.in_h is never 'highest' on tiny"),
        (
            "T1.limit.copy.one.dimension",
            "COPY: {'move': 'data_to_act', 'n1': '1', 'n2': '2..4095'} never occurs on tiny",
        ),
    ],
)
def test_without_a_directed_case_there_is_a_gap(case: str, gap: str) -> None:
    assert gap in problems(field_coverage.executed("tiny", case))


def test_a_reason_for_what_is_there_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    known = field_coverage.reasons() | {("CONV.in_h", "highest"): "it cannot"}
    monkeypatch.setattr(field_coverage, "reasons", lambda: known)
    assert problems(field_coverage.executed("tiny")) == ["CONV.in_h is 'highest', but field_reasons.toml says why not"]


def test_classes_cover_the_range_of_a_field() -> None:
    hw = hardware.load("tiny")
    found = {c.name: (c.low, c.high) for c in value_classes.classes("GEMM", GEMM.by_name["k_blocks"], hw)}
    assert found == {"lowest": (1, 1), "next": (2, 2), "middle": (3, 2047), "highest": (2048, 2048)}
    found = {c.name: (c.low, c.high) for c in value_classes.classes("CONV", CONV.by_name["in_zero"], hw)}
    assert found["negative"] == (-127, -1) and found["positive"] == (1, 126)


@pytest.mark.parametrize("fit", value_classes.FITS, ids=lambda f: f.text)
def test_a_lower_highest_value_is_lower_somewhere(fit: value_classes.Fit) -> None:
    for pattern in fit.fields:
        fields = [(i.name, f) for i in TABLE for f in i.fields if fnmatch(f"{i.name}.{f.name}", pattern)]
        assert fields, pattern
        for name, field in fields:
            tops = {c: value_classes.highest(name, field, hardware.load(c)) for c in field_coverage.CONFIGS}
            legal = {c: min(field.legal_max, limit(field, c)) for c in tops}
            assert any(tops[c] < legal[c] for c in tops), (pattern, name, field.name)


def limit(field: Field, config: str) -> int:
    return int(getattr(hardware.load(config), field.below)) - 1 if field.below else field.legal_max


def test_an_empty_copy_counts_for_little() -> None:
    copy = next(p for p in field_coverage.executed("tiny") if p.name == "COPY")
    nothing = field_coverage.Packet(copy.instruction, {**copy.values, "n0": 0, "src": 77})
    hit = {r.of: r.hit for r in field_coverage.rows("tiny", (nothing,))}
    assert hit["COPY.n0"] == {"lowest"} and not hit["COPY.src"]
