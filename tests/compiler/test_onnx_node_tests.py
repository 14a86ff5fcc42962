"""ONNX's own node tests: none wrong, none crashes, what is refused names a rule, and the published table is true.

The operators are those of the page: loading ONNX's tests computes them all, too much for collecting this file.
"""

import importlib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "onnx_node_tests.md"
COMMAND = "python tests/compiler/onnx_node_tests.py > docs/reference/onnx_node_tests.md"
TABLE = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "---" not in line]
ROWS = {line.split("|")[1].strip(): line for line in TABLE}
OPERATORS = [name for name in ROWS if name not in ("operator", "**all**")]


@pytest.fixture(scope="module")
def node_tests():
    return importlib.import_module("onnx_node_tests")


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator(operator, node_tests):
    outcomes = {case.name: node_tests.run(case) for case in node_tests.cases().get(operator, [])}
    assert outcomes, f"ONNX has no tests of it (any more); {COMMAND}"
    bad = {name: o.detail for name, o in outcomes.items() if o.kind in ("wrong", "crashed")}
    assert not bad
    unclear = {n: o.detail for n, o in outcomes.items() if o.kind == "refused" and len(o.detail) < 40}
    assert not unclear, "a refusal names the thing, the value and the limit"
    assert node_tests.row(operator, outcomes.values()) == ROWS[operator], COMMAND


def test_the_page_is_complete(node_tests):
    assert list(node_tests.cases()) == OPERATORS, COMMAND
    assert PAGE.read_text() == node_tests.page([ROWS[name] for name in OPERATORS]), COMMAND
