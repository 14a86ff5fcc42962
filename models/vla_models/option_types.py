"""Are the options of a config of the types that it declares? Python takes `true`, 1 and 1.0 for each other.

Not here: the range of an option, which its config checks itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vla_models.errors import PolicyError

__all__ = ["check_types"]

_PLAIN = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}


def check_types(where: str, config: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse options whose value is not of their field's type; those without a field are left to the config.

    Args:
        where: begins the message.
        config: a dataclass with fields of plain types, tuples and mappings; other types are not checked.
        options: as JSON or Python has them; a list is a tuple, an integer is a number, a bool is neither.

    Raises:
        PolicyError: names the option, its value and what it must be.
    """
    if not dataclasses.is_dataclass(config):
        return
    for name, kind in get_type_hints(config).items():
        if name in options and not _fits(options[name], kind):
            raise PolicyError(f"{where}: '{name}' is {str(options[name])[:80]!r}; it must be {_said(kind)}.")


def _fits(value: Any, kind: Any) -> bool:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        right = (int, float) if kind is float else kind
        return isinstance(value, right) and isinstance(value, bool) == (kind is bool)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return len(value) == len(kinds) and all(map(_fits, value, kinds))
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in arguments)
    if origin is Literal:
        return any(value == each and type(value) is type(each) for each in arguments)
    if kind is type(None):
        return value is None
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, Mapping)
    return origin is not tuple


def _said(kind: Any) -> str:
    if get_origin(kind) is not tuple:
        return _PLAIN.get(kind, str(kind))
    arguments = get_args(kind)
    count = "" if arguments[-1] is Ellipsis else f" of {len(arguments)}"
    return f"a list{count}, each {_said(arguments[0])}"
