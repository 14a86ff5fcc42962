"""JSON records of a program file, read strictly: every field present, of its type and in range, none unknown.

A field with the metadata `LEFT_OUT` is left out, and only then, where it has its default.

The records are the dataclasses of `program.py` and `layout.py`; their field types say what is read.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from functools import cache
from typing import Any

from vla_isa.errors import ProgramError

__all__ = ["LEFT_OUT", "dump_json", "from_json", "parse_json"]

LEFT_OUT = {"left_out": True}

MAX_INTEGER = 1 << 62


def dump_json(value: Any) -> bytes:
    """JSON as the file holds it: UTF-8, no NaN, dataclasses as objects.

    Raises:
        ProgramError: a value JSON cannot hold.
    """
    try:
        return json.dumps(value, default=_plain, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as e:
        raise ProgramError(f"the program cannot be written: {e}") from e


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        every = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        default = {f.name: f.default for f in dataclasses.fields(value) if f.metadata.get("left_out")}
        return {name: x for name, x in every.items() if name not in default or x != default[name]}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def parse_json(data: bytes | memoryview, section: str) -> Any:
    """The value in a section.

    Raises:
        ProgramError: not JSON, not UTF-8, a duplicate key, or NaN.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(pairs)
        if len(out) != len(pairs):
            raise ValueError("a key appears twice")
        return out

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not allowed")

    try:
        return json.loads(bytes(data).decode("utf-8"), object_pairs_hook=unique, parse_constant=constant)
    except (ValueError, RecursionError) as e:
        raise ProgramError(f"section '{section}' is not valid JSON: {e}") from e


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def from_json(kind: Any, value: Any, where: str) -> Any:
    """Build `kind` (int, float, str, a dataclass, or list/dict/tuple of these) from a JSON value.

    Args:
        kind: a type; `where` names the value in errors.

    Raises:
        ProgramError: naming the field and what was found.
    """
    if kind is Any:
        return value
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is int:
        good = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INTEGER
        return value if good else _refuse(where, "an integer", value)
    if kind is float:
        good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_INTEGER
        return float(value) if good and math.isfinite(value) else _refuse(where, "a number", value)
    if kind is str:
        good = isinstance(value, str) and value.isprintable()  # a name may not steer the terminal it is printed on
        return value if good else _refuse(where, "a string of printable characters", value)
    if origin is dict:
        if not isinstance(value, dict):
            _refuse(where, "an object", value)
        return {k: from_json(args[1], v, f"{where}.{k}") for k, v in value.items()}
    if origin in (list, tuple):
        return _sequence(origin, args, value, where)
    return _record(kind, value, where)


def _sequence(origin: Any, args: tuple[Any, ...], value: Any, where: str) -> Any:
    if not isinstance(value, list):
        _refuse(where, "a list", value)
    if origin is tuple and args[-1] is not Ellipsis and len(value) != len(args):
        _refuse(where, f"a list of {len(args)}", value)
    kinds = args if origin is tuple and args[-1] is not Ellipsis else (args[0],) * len(value)
    return origin(from_json(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))


def _record(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        _refuse(where, "an object", value)
    hints = _hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]
    default = {f.name: f.default for f in dataclasses.fields(kind) if f.metadata.get("left_out")}
    unknown, missing = sorted(set(value) - set(names)), [n for n in names if n not in value and n not in default]
    if unknown or missing:
        problem = f"unknown key '{unknown[0]}'" if unknown else f"missing key '{missing[0]}'"
        raise ProgramError(f"{where}: {problem}")
    idle = [n for n, x in default.items() if value.get(n) == x]
    if idle:
        raise ProgramError(f"{where}: '{idle[0]}' is left out where it is {default[idle[0]]}")
    return kind(**{n: from_json(hints[n], value[n], f"{where}.{n}") for n in names if n in value})


def _refuse(where: str, wanted: str, value: Any) -> typing.NoReturn:
    text = repr(value)
    raise ProgramError(f"{where} must be {wanted}, found {text[:40] + '...' if len(text) > 40 else text}")
