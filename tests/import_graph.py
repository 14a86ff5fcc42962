"""The import graph of the packages, read from their text: module -> what it imports, anywhere in it.

Imports inside functions and under TYPE_CHECKING count, and so do modules named by string: what a command line runs
(`module:function`) and the argument of `import_module`. Not here: who may import whom (`docs/architecture.toml`).
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Floors", "circles", "graph", "imports", "modules", "room_of"]

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("isa", "compiler", "runtime", "models", "datasets", "training")
Floor = dict[str, str]  # what stands on it -> what that is, for the picture


@dataclass(frozen=True)
class Floors:
    """Who may import whom: packages, and rooms of packages, from the lowest floor up; and the passes in their order."""

    packages: list[Floor]
    rooms: Mapping[str, list[Floor]]
    passes: dict[str, str]

    @classmethod
    def load(cls) -> Floors:
        """Those of docs/architecture.toml."""
        return cls(**tomllib.loads((ROOT / "docs" / "architecture.toml").read_text(encoding="utf-8")))


def modules() -> dict[str, Path]:
    """Every module of every package by its name."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(text: str, known: Collection[str]) -> set[str]:
    """The modules among `known` that a module of this text imports."""
    found = set()
    for name in _named(ast.parse(text)):
        while name and name not in known:
            name = name.rpartition(".")[0]  # a module's attribute
        found.add(name)
    return found - {""}


def _named(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(r"[\w.]+:\w+", str(node.value)):
            yield str(node.value).partition(":")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant))


def graph() -> dict[str, set[str]]:
    """Module -> modules of the packages that it imports."""
    known = modules()
    return {name: imports(path.read_text(encoding="utf-8"), known) - {name} for name, path in known.items()}


def room_of(module: str) -> tuple[str, str]:
    """A module's package and room: its folder, or itself where it lies beside the folders, "" for the package."""
    package, _, rest = module.partition(".")
    return package, rest.partition(".")[0]


def circles(edges: Mapping[str, Collection[str]]) -> list[set[str]]:
    """Sets of more than one node in which each can be reached from each."""
    reached = {node: _reached(edges, node) for node in edges}
    found = {frozenset(m for m in ways if node in reached.get(m, ())) for node, ways in reached.items()}
    return sorted((set(c) for c in found if len(c) > 1), key=sorted)


def _reached(edges: Mapping[str, Collection[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(edges[start])
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(edges.get(node, ()))
    return found
