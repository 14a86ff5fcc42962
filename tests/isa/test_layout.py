"""Tensor layouts against a walk over every single value with `int.to_bytes`."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vla_isa.errors import EncodingError, ProgramError
from vla_isa.hardware import LINE_BYTES
from vla_isa.layout import TensorLayout, pack, unpack
from vla_isa.records import dump_json, from_json, parse_json


def image(h: int, w: int, c: int, block: int, planes: int, runs: tuple[tuple[int, int], ...] = ()) -> TensorLayout:
    """An ONNX tensor [1, C, H, W]."""
    return TensorLayout((1, c, h, w), (c, h, w), (1, 2, 0), h, w, c, block, runs, planes)


LAYOUTS = [
    image(h, w, c, block, planes, runs)
    for (h, w, c, runs), block, planes in itertools.product(
        [(1, 1, 1, ()), (3, 5, 20, ()), (2, 9, 8, ()), (1, 70, 3, ()), (2, 3, 5, ((1, 2), (17, 3)))], (8, 16), (1, 2)
    )
]


def walked(q: np.ndarray, layout: TensorLayout, fill: int) -> bytes:
    """`[H][C/B][planes][W][B]`, every row of a plane padded to whole lines, one byte at a time."""
    at_position = dict(zip([p + i for p, n in layout.runs for i in range(n)], range(layout.c), strict=True))
    run_bytes = -(-layout.w * layout.block // LINE_BYTES) * LINE_BYTES
    out = bytearray()
    for y, block, plane, byte in itertools.product(
        range(layout.h), range(layout.blocks), range(layout.planes), range(run_bytes)
    ):
        x, lane = divmod(byte, layout.block)
        channel = at_position.get(block * layout.block + lane)
        value = fill if x >= layout.w or channel is None else int(q[0, channel, y, x])
        out.append(value.to_bytes(layout.planes, "little", signed=True)[plane])
    return bytes(out)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda x: f"{x.shape}-b{x.block}-p{x.planes}-{len(x.runs)}")
def test_pack_is_the_walk_and_unpack_its_inverse(layout: TensorLayout) -> None:
    kind = layout.type
    q = np.random.default_rng(7).integers(kind.lo, kind.hi + 1, layout.shape).astype(kind.dtype)
    q.flat[0], q.flat[-1] = kind.lo, kind.hi
    for fill in (0, -3, kind.hi):
        data = pack(q, layout, fill)
        assert data.tobytes() == walked(q, layout, fill)
        assert data.size == layout.lines * LINE_BYTES
    back = unpack(data, layout)
    assert back.dtype == kind.dtype and np.array_equal(back, q)


def test_a_value_that_would_wrap_is_refused() -> None:
    for planes, value in ((1, 128), (2, 32768)):
        with pytest.raises(EncodingError, match="outside"):
            pack(np.full((1, 1, 1, 1), value), image(1, 1, 1, 8, planes))


def test_planes_are_one_or_two() -> None:
    for planes in (0, 3, 4):
        with pytest.raises(ProgramError, match="inconsistent"):
            image(1, 1, 1, 8, planes)


def test_planes_of_a_record() -> None:
    """A file has them where there are two, and is as before where there is one."""
    one, two = image(2, 3, 4, 8, 1), image(2, 3, 4, 8, 2)
    assert b"planes" not in dump_json(one) and b'"planes":2' in dump_json(two)
    for layout in (one, two):
        assert from_json(TensorLayout, parse_json(dump_json(layout), "io"), "io") == layout
