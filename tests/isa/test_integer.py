"""Integer types against Python's unbounded integers and `int.to_bytes`."""

from __future__ import annotations

import numpy as np
import pytest

from vla_isa.errors import EncodingError
from vla_isa.integer import INT8, INT16, UINT8, IntType

TYPES = (INT8, UINT8, INT16)


def fits(value: int, kind: IntType) -> bool:
    try:
        value.to_bytes(kind.bits // 8, "little", signed=kind.signed)
    except OverflowError:
        return False
    return True


@pytest.mark.parametrize("kind", TYPES, ids=lambda k: k.name)
def test_the_range_is_what_the_bytes_hold(kind: IntType) -> None:
    assert fits(kind.lo, kind) and not fits(kind.lo - 1, kind)
    assert fits(kind.hi, kind) and not fits(kind.hi + 1, kind)
    assert kind.planes == len(kind.hi.to_bytes(kind.planes, "little", signed=kind.signed)) == kind.dtype.itemsize
    assert kind.dtype == np.dtype(kind.name)
    assert kind.values().tolist() == list(range(kind.lo, kind.hi + 1)) and kind.count == len(kind.values())


def test_the_constants() -> None:
    assert [(t.name, t.lo, t.hi, t.planes) for t in TYPES] == [
        ("int8", -128, 127, 1),
        ("uint8", 0, 255, 1),
        ("int16", -32768, 32767, 2),
    ]


@pytest.mark.parametrize("kind", TYPES, ids=lambda k: k.name)
@pytest.mark.parametrize("source", (np.int64, np.int32, np.float32))
def test_clip_saturates(kind: IntType, source: type) -> None:
    values = [-100_000, kind.lo - 1, kind.lo, -1, 0, 1, kind.hi, kind.hi + 1, 100_000]
    got = kind.clip(np.array(values, source))
    assert got.dtype == kind.dtype
    assert got.tolist() == [min(max(v, kind.lo), kind.hi) for v in values]


@pytest.mark.parametrize("kind", TYPES, ids=lambda k: k.name)
def test_cast_refuses_what_would_wrap(kind: IntType) -> None:
    assert kind.cast([kind.lo, 0, kind.hi]).tolist() == [kind.lo, 0, kind.hi]
    for value in (kind.lo - 1, kind.hi + 1):
        with pytest.raises(EncodingError, match=f"outside {kind.name}"):
            kind.cast(np.array([0, value]))
    assert kind.cast(np.zeros((0, 3))).shape == (0, 3)


def test_cast_keeps_an_array_of_the_type_and_refuses_another_of_its_size() -> None:
    array = np.array([1, -2], np.int8)
    assert INT8.cast(array) is array
    with pytest.raises(EncodingError, match=r"values reach 0\.\.200, outside int8"):
        INT8.cast(np.array([0, 200], np.uint8))
    with pytest.raises(EncodingError, match="nan"):
        INT8.cast(np.array([0.0, np.nan]))


@pytest.mark.parametrize("kind", (*TYPES, IntType(16, signed=False)), ids=lambda k: k.name)
def test_stored_integers_are_the_models_around_the_middle_of_the_range(kind: IntType) -> None:
    model = [kind.lo, kind.lo + 1, kind.hi - 1, kind.hi]
    middle = 0 if kind.signed else 2 ** (kind.bits - 1)
    stored = kind.to_stored(np.array(model, kind.dtype))
    assert stored.dtype == np.dtype(f"int{kind.bits}") and stored.tolist() == [v - middle for v in model]
    assert kind.from_stored(stored).dtype == kind.dtype and kind.from_stored(stored).tolist() == model
    with pytest.raises(EncodingError, match=f"outside {kind.name}"):
        kind.to_stored([kind.hi + 1])


def test_types_by_name() -> None:
    assert [IntType.named(n) for n in ("int8", "uint8", "int16")] == list(TYPES)
    assert [IntType.named(n) for n in ("float32", "bool", "float16", "")] == [None] * 4
