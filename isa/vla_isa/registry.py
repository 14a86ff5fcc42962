"""Look-up in a list of things that have names: policies, worlds, objectives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from vla_isa.errors import VlaError, did_you_mean

__all__ = ["find_named"]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=_Named)


def find_named(what: str, name: str, specs: Sequence[_T], error: type[VlaError]) -> _T:
    """The one called `name`.

    Raises:
        error: none is; the message says what is unknown ("policy") and what there is.
    """
    for spec in specs:
        if spec.name == name:
            return spec
    names = [spec.name for spec in specs]
    raise error(f"Unknown {what} '{name}'." + did_you_mean(name, names, f"Known: {', '.join(names)}."))
