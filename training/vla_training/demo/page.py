"""What the demos' pages are made of: the frame of a page, tables, versions of packages. No scripts, no network."""

from __future__ import annotations

import html
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vla_isa.files import whole_file

__all__ = ["BACKEND_NAMES", "html_table", "versions", "write_page"]

BACKEND_NAMES = {
    "float": "float32 (PyTorch)",
    "onnx": "float32 (ONNX Runtime)",
    "sim": "int8 (sim)",
    "rtl": "int8 (rtl)",
}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>VLA toolchain demo</title><style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; margin: 1em 0; }
td, th { border: 1px solid #bbb; padding: .3em .7em; text-align: left; font-variant-numeric: tabular-nums; }
th { background: #eee; } svg { display: block; margin: 1em 0; max-width: 100%; }
img { image-rendering: pixelated; max-width: 100%; }
</style></head><body>
BODY
</body></html>
"""


def write_page(path: Path, body: Sequence[str]) -> None:
    """Write a page, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(_PAGE.replace("BODY", "\n".join(body)), encoding="utf-8")


def html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the cells are text, not HTML."""
    head = "".join(f"<th>{html.escape(text)}</th>" for text in headings)
    lines = ["".join(f"<td>{html.escape(text)}</td>" for text in row) for row in rows]
    return f"<table><tr>{head}</tr>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def versions(packages: Sequence[str]) -> list[tuple[str, str]]:
    """Python's version and those of packages."""
    rows = [("python", platform.python_version())]
    for package in packages:
        try:
            rows.append((package, version(package)))
        except PackageNotFoundError:
            rows.append((package, "not installed"))
    return rows
