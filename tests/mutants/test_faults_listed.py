"""The seeded faults of faults.toml are lines that are there, once, and tests that are there."""

import tomllib

import pytest
from run import FAULTS
from workspace import ROOT


@pytest.mark.parametrize("fault", tomllib.loads(FAULTS.read_text(encoding="utf-8"))["faults"], ids=lambda f: f["name"])
def test_the_line_is_there_once(fault):
    assert (ROOT / fault["file"]).read_text(encoding="utf-8").count(fault["line"]) == 1
    assert (ROOT / fault["test"].split("::")[0]).exists()
