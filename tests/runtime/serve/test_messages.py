"""Messages: what openpi's own packer writes and reads, and what is refused before anything is made of it."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest
from openpi_client import msgpack_numpy

from vlarun.errors import InputError
from vlarun.serve.messages import pack, unpack

VALUES: dict[str, Any] = {
    "image": np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4),
    "state": np.array([1.5, -2.0], np.float32),
    "none": np.zeros((0, 7), np.float64),
    "point": np.array(3, np.int16),
    "flags": np.array([True, False]),
    "scalar": np.float32(0.25),
    "prompt": "pick up the cube",
    "nested": {"wrist": np.ones((1, 2), np.int64)},
    "list": [1, 2.5, None, "x"],
}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
    return type(a) is type(b) and a == b


def test_reads_what_the_client_packs() -> None:
    assert same(VALUES, unpack(msgpack_numpy.packb(VALUES)))


def test_the_client_reads_what_is_packed() -> None:
    assert same(VALUES, msgpack_numpy.unpackb(pack(VALUES)))


def test_other_byte_orders_and_names_as_text() -> None:
    big = np.array([1, 256], ">i4")
    assert unpack(msgpack_numpy.packb({"x": big}))["x"].tolist() == [1, 256]
    assert unpack(msgpack_numpy.packb({"x": big}))["x"].dtype.isnative
    text = {"x": {"__ndarray__": True, "data": b"\1\2", "dtype": "|u1", "shape": [2]}}
    assert unpack(msgpack.packb(text))["x"].tolist() == [1, 2]


def array(**fields: Any) -> bytes:
    plain: dict[Any, Any] = {b"__ndarray__": True, b"data": b"\0" * 8, b"dtype": "<f4", b"shape": [2]}
    changed = {**plain, **{name.encode(): value for name, value in fields.items()}}
    return msgpack.packb({"x": {name: value for name, value in changed.items() if value is not None}})


HOSTILE = {
    "empty": (b"", "no msgpack"),
    "garbage": (bytes(range(256)), "no msgpack"),
    "truncated": (msgpack_numpy.packb(VALUES)[:-1], "no msgpack"),
    "two messages": (msgpack.packb({}) * 2, "no msgpack"),
    "a number": (msgpack.packb(7), "a int"),
    "a list": (msgpack.packb([1]), "a list"),
    "an array alone": (msgpack_numpy.packb(np.ones(3)), "a ndarray"),
    "numbers as names": (msgpack.packb({1: 2}), "no msgpack"),
    "bytes as names": (msgpack.packb({b"x": 2}), "a dict"),
    "deep": (b"\x81\xa1x" * 100_000 + b"\xc0", "no msgpack"),
    "a list of four billion": (b"\x81\xa1x\xdd\xff\xff\xff\xff", "no msgpack"),
    "a map of four billion": (b"\x81\xa1x\xdf\xff\xff\xff\xff", "no msgpack"),
    "an extension": (msgpack.packb({"x": msgpack.ExtType(4, b"12")}), "no msgpack"),
    "a time": (msgpack.packb({"x": msgpack.Timestamp(1, 2)}), "no msgpack"),
    "no text": (b"\x81\xa1x\xa2\xff\xfe", "no msgpack"),
    "objects": (array(dtype="|O"), "dtype '|O'"),
    "a structure": (array(dtype=[["a", "<i4"]]), "dtype"),
    "text": (array(dtype="<U2"), "dtype '<U2'"),
    "a long double": (array(dtype="<f16"), "dtype '<f16'"),
    "code as dtype": (array(dtype="f4,(1000000,1000000)f4"), "dtype"),
    "too many bytes": (array(shape=[1]), "has 4 bytes; the message holds 8"),
    "too few bytes": (array(shape=[1 << 62, 1 << 62]), "the message holds 8"),
    "negative": (array(shape=[-2]), "shape"),
    "true as a size": (array(shape=[True, 2]), "shape"),
    "a fraction": (array(shape=[2.0]), "shape"),
    "a scalar shape": (array(shape=2), "shape"),
    "many dimensions": (array(shape=[1] * 64 + [2]), "shape"),
    "no shape": (array(shape=None), "no 'shape'"),
    "no data": (array(data=None), "no 'data'"),
    "data as text": (array(data="12345678"), "a str"),
    "a number of text": (msgpack.packb({"x": {b"__npgeneric__": 1, b"data": "a", b"dtype": "<f4"}}), "a str"),
    "a number out of range": (msgpack.packb({"x": {b"__npgeneric__": 1, b"data": 300, b"dtype": "|u1"}}), "no msgpack"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_messages_are_refused(name: str) -> None:
    data, message = HOSTILE[name]
    with pytest.raises(InputError) as caught:
        unpack(data)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_reply_holds_numbers_only() -> None:
    with pytest.raises(TypeError):
        pack({"x": np.array([object()])})
    with pytest.raises(TypeError):
        pack({"x": {1, 2}})
