"""The performance model against the Verilog machine on small programs of each kind of packet.

Programs in which only fetch is busy take exactly the modelled cycles; the others, thousands of cycles long, within
0.75 % of them. Traffic is exact in both.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from vla_isa import hardware, numerics, timing
from vla_isa.encoding import encode, make_packet
from vla_isa.generated.codes import GatherIndex, GatherMove, IndexSide, Move, SetSource, Unit
from vla_isa.hardware import LINE_BYTES
from vla_isa.operands import Arena
from vla_isa.packet import Packet
from vlarun.backends import RtlBackend, run_once
from vlarun.conformance.attention_cases import Attention
from vlarun.conformance.operations import make_operation
from vlarun.conformance.programs import Builder, copy_packet, load_operands

LIMIT = 0.0075

pytestmark = pytest.mark.slow
CONFIGS = pytest.mark.parametrize("config", ["tiny", "u50"])
NOTHING = copy_packet("fill_act", n0=0)
HALT = make_packet("HALT")


def compare(b: Builder, limit: float) -> None:
    """Cycles within the limit; beats and conflicts exactly."""
    program = b.build()
    machine, model = run_once(RtlBackend(), program, {}).counters, timing.estimate(program).counters
    assert abs(model["cycles"] - machine["cycles"]) <= limit * machine["cycles"], (model["cycles"], machine["cycles"])
    for name in ("packets", "mac_busy", "act_conflict", "read_beats", "write_beats"):
        assert model[name] == machine[name], name


def loop(n: int, count: int, register: int = 0) -> Packet:
    return make_packet("LOOP", n=n, count=count, register=register)


def indexed(name: str, register: int, **values: int) -> Packet:
    index = {"index_enable": 1, "index_register": register, "index_count": 100, "index_stride": 2}
    return copy_packet(name, **index, **values)


def set_item(base: int) -> Packet:
    return make_packet("SET", register=1, source=SetSource.ITEM, base=base, count=5)


FETCHED = {
    "halt": [],
    "queue": [NOTHING] * 100,
    "one": [loop(1, 50), NOTHING],
    "five": [loop(5, 50), *[NOTHING] * 5],
    "as the buffer holds": [loop(31, 20), *[NOTHING] * 31],
    "one more": [loop(32, 20), *[NOTHING] * 32],
    "long": [loop(70, 20), *[NOTHING] * 70],
    "not at a group": [*[NOTHING] * 5, loop(27, 20), *[NOTHING] * 70],
    "nested": [loop(4, 20), loop(2, 7, 1), *[NOTHING] * 3],
    "end together": [loop(3, 20), loop(2, 7, 1), *[NOTHING] * 2],
    "nested and long": [loop(44, 20), loop(2, 7, 1), *[NOTHING] * 43],
    "set": [make_packet("SET", immediate=3)] * 20,
    "set item": [set_item(0)] * 20,
    "index": [indexed("fill_act", 2, n0=0, index_side=IndexSide.DST)] * 20,
    "set in a loop": [loop(3, 20), set_item(0), indexed("fill_act", 1, n0=0, index_side=1), set_item(0)],
}


@CONFIGS
@pytest.mark.parametrize("name", FETCHED)
def test_what_fetch_does_alone_is_exact(name: str, config: str) -> None:
    b = Builder(hardware.load(config))
    for packet in (*FETCHED[name], HALT):
        b.raw(encode(packet))
    compare(b, 0)


def moves_by_index(b: Builder) -> None:
    """Rows by a register out of the scratchpad and of the data space, and rows by items."""
    rng, block = np.random.default_rng(0), b.hw.block
    b.load_act(rng.integers(-128, 128, (600, block), np.int8))
    b.load_act(numerics.pack_items(np.arange(40) % 7).reshape(-1, block), 600)
    table = b.constant(rng.integers(-128, 128, (100 * LINE_BYTES,), np.int8))
    rows = {"table_stride": 12, "table_rows": 40, "words": 11, "n": 30, "act_base": 900, "act_pitch": 33}

    def body() -> None:
        b.add(indexed("act_to_act", 0, src=0, dst=800, n0=90))
        b.add(indexed("data_to_act", 0, src=table, dst=1400, n0=60))
        b.add(make_packet("GATHER", move=GatherMove.GATHER_ACT, index_base=600, **rows))
        index = {"index_enable": 1, "index_register": 0, "index_count": 9, "index_stride": 1}
        b.add(make_packet("GATHER", index_kind=GatherIndex.RANGE, **index, **rows))

    b.loop(body, 5)


def wide_products(b: Builder, row_max: int, residual: int, shared: int = 0) -> None:
    """int16 results with maxima and limits, or with a residual; `shared` channel blocks, 0 for many or few."""
    rng, arena = np.random.default_rng(1), Arena(b.hw)
    size = {"batch": 2, "h": 1, "m": 72, "k_blocks": shared or (12 if residual else 3), "n_blocks": 4, "out_bytes": 1}
    choices = {
        "row_max": row_max,
        "scale_by": row_max,
        "in_place": False,
        "res_kind": residual,
        "limit": 9,
        "limit_step": 1,
    }
    drawn = [make_operation("GEMM", rng, arena, **size, **choices) for _ in range(3)]
    load_operands(b, drawn)
    for one in drawn:
        b.add(one.packet)


def rows(b: Builder) -> None:
    """Moments, reciprocals and a norm; maxima, exponents and their sums; a gate."""
    rng, arena = np.random.default_rng(2), Arena(b.hw)
    size = {"h": 2, "m": 25, "blocks": 6}
    drawn = [
        make_operation("REDUCE", rng, arena, function=3, in_bytes=1, **size),
        make_operation("RECIP", rng, arena, n=50),
        make_operation("ROW", rng, arena, function=2, row_mode=2, a_bytes=1, **size),
        make_operation("REDUCE", rng, arena, function=1, in_bytes=1, **size),
        make_operation(
            "ROW", rng, arena, function=0, row_mode=1, a_bytes=1, table_mode=1, reduce=1, out_bytes=0, **size
        ),
        make_operation(
            "ROW", rng, arena, function=1, b_kind=1, a_bytes=0, out_bytes=1, row_mode=0, table_mode=0, **size
        ),
        make_operation("REDUCE", rng, arena, function=5, in_bytes=0, **size),
    ]
    load_operands(b, drawn)
    for one in drawn:
        b.add(one.packet)


def weights(b: Builder) -> None:
    """Into the weight scratchpad: out of the data space, of the scratchpad as they are and turned, and of weights."""
    block = b.hw.block
    line = b.constant(np.zeros((300, b.hw.weight_word_bytes), np.int8))
    b.load_act(np.ones((90 * block, block), np.int8))
    b.add(copy_packet("data_to_weight", src=line, n0=300))
    turned = {"n0": 10, "n1": 3, "src_stride1": 10 * block, "dst": 300 * block, "dst_stride1": 12 * block}
    b.add(copy_packet("act_to_act", unit=Unit.TRANSPOSE, **turned))
    b.add(copy_packet("act_to_weight", src=300 * block, dst=300, n0=10, n1=3, src_stride1=12 * block, dst_stride1=10))
    b.load_weight(np.ones((300, b.hw.weight_word_bytes), np.int8), 400)
    b.add(make_packet("COPY", move=Move.ACT_TO_WEIGHT, dst=700, n0=1, n1=40, n2=1, n3=1, src_stride1=block))


def cache(b: Builder) -> None:
    """New keys and values behind those of a cache, all of it back, and attention over it, three times."""
    words, rows = 4, 48
    stride = -(-words * b.hw.act_word_bytes // LINE_BYTES)
    line = b.reserve(2 * rows * stride * LINE_BYTES)
    attention = Attention(b.hw)
    attention.loads(b)
    for half in range(2):
        table = {"table_base": line + half * rows * stride, "table_stride": stride, "table_rows": rows, "words": words}
        new = {"index_kind": GatherIndex.RANGE, "first": 20, "n": 21, "act_base": 0, "act_pitch": 24}
        b.add(make_packet("GATHER", move=GatherMove.SCATTER_DATA, **table, **new))
        all_of_it = {"index_kind": GatherIndex.RANGE, "n": 41, "act_base": attention.words, "act_pitch": 56}
        b.add(make_packet("GATHER", move=GatherMove.GATHER_DATA, **table, **all_of_it))
    b.loop(lambda: attention.packets(b), 3)


PROGRAMS: dict[str, Callable[[Builder], None]] = {
    "moves by index": moves_by_index,
    "row maxima and limits": partial(wide_products, row_max=1, residual=0),
    "row maxima and a mask": partial(wide_products, row_max=1, residual=1),
    "a mask of short products": partial(wide_products, row_max=1, residual=1, shared=1),
    "a residual of short products": partial(wide_products, row_max=0, residual=1, shared=2),
    "a residual of int16": partial(wide_products, row_max=0, residual=1),
    "a bias row of int16": partial(wide_products, row_max=0, residual=2),
    "rows": rows,
    "weights": weights,
    "a step with a cache": cache,
}


@CONFIGS
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_one_kind(name: str, config: str) -> None:
    b = Builder(hardware.load(config))
    PROGRAMS[name](b)
    b.store_act(0, 200)
    b.halt()
    compare(b, LIMIT)
