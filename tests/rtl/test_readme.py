"""The pages about the machine name the modules and the folders that exist, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bench import RTL, SOURCES

HERE = Path(__file__).parent
MODULES = {path.stem for path in SOURCES}


def named(text: str) -> set[str]:
    """Module names in backquotes."""
    return set(re.findall(r"`(vla_\w+)`", text))


@pytest.mark.parametrize("page", [RTL / "README.md", HERE / "README.md"], ids=["rtl", "tests"])
def test_every_module_is_named(page: Path) -> None:
    listed = named(page.read_text(encoding="utf-8"))
    assert listed == MODULES


def test_every_folder_of_tests_is_listed_with_its_modules() -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|(.*)\|$", (HERE / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    folders = {path.parent.name for path in HERE.glob("*/test_*.py")}
    assert {folder for folder, _ in rows} == folders
    for folder, modules in rows:
        assert not folder.startswith("vla_") or folder in named(modules)


def test_ports_of_the_page_exist() -> None:
    """A port named in the table of main modules is in that module's file."""
    text = (RTL / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(vla_\w+)` \|(.*)\|$", text, re.MULTILINE)
    assert len(rows) > 10
    for module, ports in rows:
        source = (RTL / "src" / f"{module}.v").read_text(encoding="utf-8")
        for port in re.findall(r"\b([a-z]\w+_[io])\b", ports):
            assert re.search(rf"\b{port}\b", source), f"{module} has no port {port}"
