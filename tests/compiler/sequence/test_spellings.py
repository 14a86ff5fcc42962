"""Every spelling of the table becomes its canonical nodes, and computes what it computed."""

import pytest
from exported import exported
from recovered import check
from spellings import CASES, EXPORTERS


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_spelling(case, exporter):
    pytest.importorskip("torch", reason="pip install .[train]")
    if exporter not in case.exporters:
        pytest.skip("the exporter fails on it")
    check(*exported(case, exporter), case.nodes, case.gone)
