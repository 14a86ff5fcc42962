"""Do what a documentation page says: its fenced blocks are files, edits and commands.

    ```python file=PATH     write this file, which must not be there
    ```diff                 `--- PATH`, then hunks without line numbers: context and `-` lines, there exactly once,
                            become context and `+` lines; hunks are parted by `@@`
    ```console              `$ command` lines, each followed by what it prints

Output is compared word by word, with every figure: `N` stands for a number that differs from run to run, a line `...`
for any lines, and spacing and the rules of tables do not count. Other blocks are shown only.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "blocks", "follow", "touched"]

PACKAGES = ("isa", "compiler", "runtime", "models", "datasets", "training")
_FENCE = re.compile(r"^```(\w*)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, the file it is (empty where it is none), its text."""

    language: str
    file: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(m[1], m[2] or "", m[3]) for m in _FENCE.finditer(page.read_text(encoding="utf-8"))]


def touched(page: Path) -> set[str]:
    """The files that a page writes or edits."""
    edits = {b.text.partition("\n")[0].removeprefix("--- ").strip() for b in blocks(page) if b.language == "diff"}
    return edits | {b.file for b in blocks(page) if b.file}


def follow(page: Path, tree: Path, replaced: dict[str, str] | None = None) -> int:
    """Follow a page's steps in a copy of the tree; returns how many there were.

    Args:
        page: the Markdown file.
        tree: where paths and commands are relative to; its packages come first on the module path.
        replaced: texts of commands and what stands in for them here (shorter runs).

    Raises:
        AssertionError: an edit does not fit, a command fails, or it prints other words than the page.
    """
    steps = 0
    for block in blocks(page):
        if block.file:
            path = tree / block.file
            assert not path.exists(), f"{page.name}: {block.file} is already there"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "diff":
            _edit(tree, block.text)
        elif block.language == "console":
            _console(tree, block.text, replaced or {})
        else:
            continue
        steps += 1
    return steps


def _edit(tree: Path, text: str) -> None:
    head, _, body = text.partition("\n")
    assert head.startswith("--- "), f"an edit begins with '--- PATH', found {head!r}"
    path = tree / head[4:].strip()
    content = path.read_text(encoding="utf-8")
    for hunk in re.split(r"^@@.*\n", body, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        assert content.count(old) == 1, f"{path.name}: there {content.count(old)} times, not once:\n{old}"
        content = content.replace(old, new)
    path.write_text(content, encoding="utf-8")


def _console(tree: Path, text: str, replaced: dict[str, str]) -> None:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(str(tree / p) for p in PACKAGES),
    }
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        for old, new in replaced.items():
            if old in command:
                command = command.replace(old, new)
                expected = expected.replace(f" {old.split()[-1]} ", f" {new.split()[-1]} ")
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tree,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout[-4000:]}"
        _compare(command, expected, done.stdout)


def _words(line: str) -> str:
    """A line without rules and spacing, and without pytest's minutes."""
    line = re.sub(r" \(\d+:\d\d:\d\d\)", "", line)
    return re.sub(r"[\s─=-]+", " ", line).strip()


def _pattern(line: str) -> re.Pattern[str]:
    """What a line of the page stands for: itself, with any number where it says N."""
    return re.compile(re.sub(r"\bN(?=s?\b)", lambda _: r"\d[\d.,]*(e \d+)?", re.escape(line)))


def _compare(command: str, expected: str, printed: str) -> None:
    found = [w for w in map(_words, printed.splitlines()) if w]
    at, skip = 0, False
    for line in filter(None, map(_words, expected.splitlines())):
        if line == "...":
            skip = True
            continue
        pattern = _pattern(line)
        places = [i for i in range(at, len(found)) if pattern.fullmatch(found[i])]
        ok = bool(places) and (skip or places[0] == at)
        assert ok, f"$ {command}\nthe page says: {line}\nprinted:\n{printed[-4000:]}"
        at, skip = places[0] + 1, False
    assert skip or not expected.strip() or at == len(found), f"$ {command}\nprinted more than the page says:\n{printed}"
