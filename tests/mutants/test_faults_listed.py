"""The seeded faults of faults.toml are lines that are there, once, and tests that are there."""

import tomllib

import pytest
from run import FAULTS
from workspace import ROOT

FAULTS_LISTED = tomllib.loads(FAULTS.read_text(encoding="utf-8"))["faults"]


@pytest.mark.parametrize("fault", FAULTS_LISTED, ids=lambda f: f["name"])
def test_the_line_is_there_once(fault):
    assert (ROOT / fault["file"]).read_text(encoding="utf-8").count(fault["line"]) == 1


@pytest.mark.parametrize("fault", FAULTS_LISTED, ids=lambda f: f["name"])
def test_its_test_is_there(fault):
    for test in fault["test"].split():
        path, *names = test.split("[")[0].split("::")
        assert (ROOT / path).exists()
        assert all(f"def {name}(" in (ROOT / path).read_text(encoding="utf-8") for name in names)
