"""ONNX's own node tests: none wrong, none crashes, what is refused names a rule, and the published table is true."""

from pathlib import Path

import onnx_node_tests
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "onnx_node_tests.md"
COMMAND = "python tests/compiler/onnx_node_tests.py > docs/reference/onnx_node_tests.md"


@pytest.fixture(scope="module")
def rows():
    lines = PAGE.read_text().splitlines()
    return {line.split("|")[1].strip(): line for line in lines if line.startswith("| ") and "---" not in line}


@pytest.mark.parametrize("operator", list(onnx_node_tests.cases()))
def test_operator(operator, rows):
    outcomes = {case.name: onnx_node_tests.run(case) for case in onnx_node_tests.cases()[operator]}
    bad = {name: o.detail for name, o in outcomes.items() if o.kind in ("wrong", "crashed")}
    assert not bad
    unclear = {n: o.detail for n, o in outcomes.items() if o.kind == "refused" and len(o.detail) < 40}
    assert not unclear, "a refusal names the thing, the value and the limit"
    assert onnx_node_tests.row(operator, outcomes.values()) == rows[operator], COMMAND


def test_the_page_is_complete(rows):
    listed = {name: line for name, line in rows.items() if name not in ("operator", "**all**")}
    assert list(listed) == list(onnx_node_tests.cases())
    assert PAGE.read_text() == onnx_node_tests.page(list(listed.values())), COMMAND
