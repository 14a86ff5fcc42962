"""No function is longer than a screen, and no file much longer than the others; of sources and of tests."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("isa", "compiler", "runtime", "models", "datasets", "training", "benchmarks", "examples", "tests")
MOST_LINES, MOST_FILE_LINES = 60, 400


def test_functions() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {node.name} has {length} lines"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MOST_LINES
    ]
    assert not long


def test_files() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert not {path.name: n for path, n in lines.items() if n > MOST_FILE_LINES}


def sources() -> list[Path]:
    found = [path for folder in SOURCES for path in (ROOT / folder).rglob("*.py")]
    assert len(found) > 500
    return found
