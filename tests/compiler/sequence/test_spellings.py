"""Every spelling of the corpus becomes its canonical nodes, and computes what it computed."""

import attention_cases
import norm_cases
import pytest
from exported import EXPORTERS, exported
from recovered import check

CASES = [*attention_cases.CASES, *norm_cases.CASES]


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_spelling(case, exporter):
    if exporter not in case.exporters:
        pytest.skip(case.why)
    check(*exported(case, exporter), case.nodes, case.gone)
