"""Every spelling of the table becomes its canonical nodes, and computes what it computed."""

import pytest
from exported import exported
from recovered import check
from spellings import CASES, EXPORTERS, HUGGING_FACE


def pairs(cases):
    """Cases and exporters; but for one exporter, those behind the first take too long for `make test-fast`."""
    for case in cases:
        for exporter in case.exporters:
            marks = [pytest.mark.slow] if cases is HUGGING_FACE or exporter != "dynamo-18" else []
            yield pytest.param(case, exporter, marks=marks, id=f"{case.name}-{exporter}")


@pytest.mark.parametrize(("case", "exporter"), list(pairs(CASES)))
def test_spelling(case, exporter):
    pytest.importorskip("torch", reason="pip install .[train]")
    check(*exported(case, exporter), case.nodes, case.gone)


@pytest.mark.parametrize(("case", "exporter"), list(pairs(HUGGING_FACE)))
def test_hugging_face(case, exporter):
    pytest.importorskip("torch", reason="pip install .[train]")
    pytest.importorskip("transformers", reason="pip install .[transformers]")
    check(*exported(case, exporter), case.nodes, case.gone)


def test_every_spelling_has_an_exporter():
    assert all(case.exporters and set(case.exporters) <= set(EXPORTERS) for case in (*CASES, *HUGGING_FACE))
    assert len({case.name for case in (*CASES, *HUGGING_FACE)}) == len(CASES) + len(HUGGING_FACE)
