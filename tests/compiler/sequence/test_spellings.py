"""Every spelling of the table becomes its canonical nodes, and computes what it computed."""

import pytest
from exported import exported
from recovered import check
from spellings import CASES, EXPORTERS, HUGGING_FACE, OTHER_OPSETS


def pairs(cases):
    """Cases and exporters; all but the legacy one take seconds a case, too long for `make test-fast`.

    Of the others, a case has one in turn, and all of them with `--every-exporter`.
    """
    for turn, case in enumerate(cases):
        seconds = [exporter for exporter in case.exporters if exporter != "legacy-17"]
        for exporter in case.exporters:
            marks = [pytest.mark.slow] if cases is HUGGING_FACE or exporter in seconds else []
            if exporter in seconds and exporter != seconds[turn % len(seconds)]:
                marks.append(pytest.mark.every_exporter)
            yield pytest.param(case, exporter, marks=marks, id=f"{case.name}-{exporter}")


@pytest.mark.parametrize(("case", "exporter"), list(pairs(CASES)))
def test_spelling(case, exporter):
    pytest.importorskip("torch", reason="pip install .[train]")
    check(*exported(case, exporter), case.nodes, case.gone)


@pytest.mark.slow
@pytest.mark.parametrize("exporter", OTHER_OPSETS)
@pytest.mark.parametrize(
    "name", ["sdpa_gqa", "sdpa_keys", "encoder_pre", "rms_norm", "group_norm", "rope_half", "cache_written"]
)
def test_other_opsets(name, exporter):
    pytest.importorskip("torch", reason="pip install .[train]")
    (case,) = [c for c in CASES if c.name == name]
    check(*exported(case, exporter), case.nodes, case.gone)


@pytest.mark.parametrize(("case", "exporter"), list(pairs(HUGGING_FACE)))
def test_hugging_face(case, exporter):
    pytest.importorskip("torch", reason="pip install .[train]")
    pytest.importorskip("transformers", reason="pip install .[transformers]")
    check(*exported(case, exporter), case.nodes, case.gone)


def test_every_spelling_has_an_exporter():
    assert all(case.exporters and set(case.exporters) <= set(EXPORTERS) for case in (*CASES, *HUGGING_FACE))
    assert len({case.name for case in (*CASES, *HUGGING_FACE)}) == len(CASES) + len(HUGGING_FACE)
