"""The hazard checker accepts legal programs and catches each class of hazard, naming both packets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from isa_programs import PARAMS_LINE, changed, decoded, masks, pipeline, program_of, tensor, with_packets

from vla_isa import hazards
from vla_isa.encoding import encode, make_packet
from vla_isa.errors import HazardError, ProgramError
from vla_isa.hardware import load
from vla_isa.ordering import bits
from vla_isa.packet import Packet
from vla_isa.program import Program, Segment

HW = load("tiny")
HALT = make_packet("HALT")


def refused(program: Program, *reasons: str) -> None:
    with pytest.raises(HazardError) as e:
        hazards.check(program)
    for reason in reasons:
        assert reason in str(e.value), str(e.value)


def without(words: list[Packet], semaphore: int, nth: int) -> list[Packet]:
    """The packets without the nth signal of a semaphore and the wait it pairs with."""
    out = list(words)
    for mask in ("signal", "wait"):
        user = [i for i, p in enumerate(words) if semaphore in bits(p[mask])][nth]
        out[user] = changed(out[user], **{mask: out[user][mask] & ~(1 << semaphore)})
    return out


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_legal_program_passes(config: str) -> None:
    hazards.check(pipeline(config))


def edges() -> list[tuple[int, int]]:
    signals = [s for p in decoded(pipeline()) for s in bits(p["signal"])]
    return [(s, k) for s in sorted(set(signals)) for k in range(signals.count(s))]


def test_program_uses_every_kind_of_edge() -> None:
    assert sorted({s for s, _ in edges()}) == list(range(7)) and len(edges()) == 13


@pytest.mark.parametrize(("semaphore", "nth"), edges())
def test_any_semaphore_removed_is_refused(semaphore: int, nth: int) -> None:
    """Signal and wait together: counts stay right, only the order is lost."""
    program = pipeline()
    refused(with_packets(program, without(decoded(program), semaphore, nth)), "nothing orders them")


@pytest.mark.parametrize("mask", ["signal", "wait"])
@pytest.mark.parametrize(("semaphore", "nth"), edges())
def test_half_an_edge_removed_is_refused(mask: str, semaphore: int, nth: int) -> None:
    program = pipeline()
    words = decoded(program)
    user = [i for i, p in enumerate(words) if semaphore in bits(p[mask])][nth]
    words[user] = changed(words[user], **{mask: words[user][mask] & ~(1 << semaphore)})
    refused(with_packets(program, words))


def test_message_names_both_packets_memory_and_word() -> None:
    program = pipeline()
    refused(
        with_packets(program, without(decoded(program), 1, 0)),
        "packet 3 (CONV, mac, node 'conv3') reads act word",
        "packet 2 (COPY, load) writes",
        "let packet 2 or a later one of queue load signal a semaphore that packet 3 takes",
    )


def fill(dst: int, **values: int) -> Packet:
    return make_packet("COPY", move=2, dst=dst, n0=4, n1=1, n2=1, n3=1, **values)


def vec(base: int, out: int | None = None, **values: int) -> Packet:
    return make_packet("VEC", b_kind=3, a_base=base, out_base=base if out is None else out, out_w=4, **values)


def store(src: int, dst: int = 3000, **values: int) -> Packet:
    return make_packet("COPY", move=5, src=src, dst=dst, n0=4, n1=1, n2=1, n3=1, **values)


def check(*words: Packet) -> None:
    hazards.check(program_of(HW, [*words, HALT]))


def test_read_after_write_write_after_read_write_after_write() -> None:
    for first, second in ((fill(0), store(3)), (store(3), fill(0)), (vec(0), fill(3))):
        refused(program_of(HW, [first, second, HALT]), "act word 3", "nothing orders them")
        check(changed(first, signal=1), changed(second, wait=1))
    check(fill(0), store(4))
    check(store(0), vec(0, 8))  # two reads


def test_order_is_transitive_and_by_queue() -> None:
    check(fill(0, signal=1), vec(8, wait=1, signal=2), store(0, wait=2))
    check(fill(0), fill(8, signal=1), store(0, wait=1))  # a later signal of the same queue covers the earlier one
    check(fill(0, signal=1), store(8, wait=1), store(0))  # and so does an earlier wait
    refused(program_of(HW, [fill(0), fill(8, signal=1), fill(16), store(16, wait=1), HALT]), "nothing orders")


def test_waiting_in_fetch_stops_later_packets() -> None:
    jump = make_packet("JUMP", target=512, wait=1)
    for wait, good in ((1, True), (0, False)):
        first = [fill(0, signal=1), changed(jump, wait=wait)]
        rest = [store(0, wait=0 if good else 1 << 1), HALT]
        program = replace(
            program_of(HW, [HALT]),
            sources=[],
            heaps=[Segment(0, b"".join(map(encode, first))), Segment(512, b"".join(map(encode, rest)))],
        )
        if good:
            hazards.check(program)
        else:
            refused(program)


def test_deadlock_and_left_over() -> None:
    refused(program_of(HW, [fill(0, wait=1), HALT]), "packet 0 (COPY, load)", "signal it only 0 times", "deadlock")
    refused(program_of(HW, [store(0, wait=1), fill(8, signal=1), HALT]), "would deadlock")  # signal comes later
    refused(program_of(HW, [fill(0, signal=4), HALT]), "semaphore 2 is 1, not zero", "packet 0")
    check(fill(0, signal=1), store(8, wait=1))
    hazards.check(program_of(HW, [fill(0, signal=1), changed(HALT, wait=1)]))


def test_one_queue_signals_and_one_waits() -> None:
    refused(
        program_of(HW, [fill(0, signal=1), store(8, wait=1), vec(16, signal=1), store(8, wait=1), HALT]),
        "packet 2 (VEC, vec) signals semaphore 0, which queue load also signals",
    )
    refused(
        program_of(HW, [fill(0, signal=1), store(8, wait=1), fill(0, signal=1), vec(16, wait=1), HALT]),
        "packet 3 (VEC, vec) waits for semaphore 0, which queue store also waits for",
    )


def test_count_stays_below_256() -> None:
    pairs = [p for _ in range(256) for p in (fill(0, signal=1), store(8, wait=1))]
    check(*pairs[:510])
    refused(program_of(HW, [*pairs, HALT]), "may bring semaphore 0 to 256, more than 255")
    back = list(pairs)  # the signalling queue waits for the waiting one in the middle
    back[301] = changed(back[301], signal=2)
    back[302] = changed(back[302], wait=2)
    check(*back)


def test_packet_against_itself() -> None:
    refused(program_of(HW, [vec(0, 2), HALT]), "writes act word 2, which it also reads as 'a'")
    check(vec(0, 0))
    refused(program_of(HW, [changed(vec(0), b_kind=1, b_base=3), HALT]), "which it also reads as 'b'")
    refused(
        program_of(HW, [make_packet("VEC", b_kind=3, out_w=4, out_blocks=2, a_base=64, out_pitch=3), HALT]),
        "more than once",
    )
    conv = make_packet("CONV", **tensor("in", 0, h=4, w=8, blocks=2), **tensor("out", 4, h=4, w=8, blocks=2))
    refused(program_of(HW, [conv, HALT]), "which it also reads as 'in'")
    away = changed(conv, out_base=512, residual_enable=1, **tensor("res", 512))
    check(away)  # the residual is read where the result is written
    refused(program_of(HW, [changed(away, res_base=513), HALT]), "which it also reads as 'res'")
    move = make_packet("COPY", move=1, src=0, dst=2, n0=4, n1=1, n2=1, n3=1)
    refused(program_of(HW, [move, HALT]), "which it also reads as 'src'")


def test_heap_and_constants_are_not_written() -> None:
    refused(program_of(HW, [store(0, dst=1), HALT]), "data line 1, which belongs to an instruction heap")
    refused(program_of(HW, [store(0, dst=PARAMS_LINE), HALT]), f"{PARAMS_LINE}, which belongs to a constant")
    check(store(0, dst=PARAMS_LINE + 2))


def test_store_then_load_of_data_lines() -> None:
    load_back = make_packet("COPY", move=0, src=3000, dst=64, n0=4, n1=1, n2=1, n3=1)
    refused(program_of(HW, [store(0), load_back, HALT]), "reads data line 3000")
    check(store(0, signal=1), changed(load_back, wait=1))


def masked(bits_: int, first_out: int) -> Program:
    """A masked CONV whose mask is a constant, beside a fill of in block 1."""
    mask = np.zeros((2, HW.param_word_bytes), np.uint8)
    mask[:, 0] = bits_
    program = program_of(
        HW,
        [
            make_packet("COPY", move=3, src=2000, dst=100, n0=2, n1=1, n2=1, n3=1, signal=1),
            make_packet(
                "CONV",
                in_w=4,
                in_blocks=2,
                in_pitch=4,
                out_base=512,
                out_w=4,
                out_blocks=2,
                out_pitch=4,
                mask_mode=1,
                mask_base=100,
                wait=1,
            ),
            fill(first_out),
            HALT,
        ],
    )
    return replace(program, constants=[*program.constants, Segment(2000, mask.tobytes())])


def test_mask_decides_what_is_read() -> None:
    hazards.check(masked(0b01, 4))  # in block 1 is not read
    refused(masked(0b11, 4), "act word 4")
    refused(masked(0b01, 0), "act word 0")


def test_mask_from_data_is_refused() -> None:
    program = masked(1, 4)
    with pytest.raises(ProgramError, match="no constant"):
        hazards.check(replace(program, constants=program.constants[:1]))


def test_every_entry_point_is_checked() -> None:
    program = program_of(HW, [fill(0), HALT, fill(0), store(0), HALT])
    hazards.check(program)
    refused(replace(program, entries={"main": 0, "other": 2}), "packet 3")


def _layer(i: int) -> list[Packet]:
    """Load, convolution and store of one of 666 maps of 16 x 60 pixels, in two halves of the scratchpad by turns."""
    big = {"row_stride": 4 * 64, "pitch": 64, "ring": 16}

    def region(role: str, base: int, **sizes: int) -> dict[str, int]:
        return {f"{role}_{k}": v for k, v in {"base": base, **big, **sizes}.items()}

    a, b = (8192 * (i % 2), 16384 + 8192 * (i % 2))
    return [
        make_packet(
            "COPY",
            move=0,
            src=2048,
            dst=a,
            n0=60,
            n1=4,
            n2=16,
            n3=1,
            src_stride1=16,
            src_stride2=64,
            dst_stride1=64,
            dst_stride2=256,
            signal=masks(0),
            wait=masks(1) if i >= 2 else 0,
        ),
        make_packet(
            "CONV",
            **region("in", a, h=16, w=60, blocks=4),
            **region("out", b, h=16, w=60, blocks=4),
            kernel_h=3,
            kernel_w=3,
            pad_top=1,
            pad_left=1,
            wait=masks(0, *([3] if i >= 2 else [])),
            signal=masks(2, *([1] if i < 664 else [])),
        ),
        make_packet(
            "COPY",
            move=5,
            src=b,
            dst=3072,
            n0=60,
            n1=4,
            n2=16,
            n3=1,
            dst_stride1=15,
            dst_stride2=60,
            src_stride1=64,
            src_stride2=256,
            wait=masks(2),
            signal=masks(3) if i < 664 else 0,
        ),
    ]


GEMM16 = {"m": 4, "k_blocks": 1, "out_bytes": 1, "in_base": 900, "out_pitch": 4, "res_pitch": 4}
ROW8 = {"m": 4, "channels": 8, "a_pitch": 4, "out_pitch": 4, "row_base": 600, "reduce_base": 700}


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (make_packet("GEMM", **GEMM16, res_kind=1, res_base=300, out_base=300), ""),
        (make_packet("GEMM", **GEMM16, res_kind=1, res_base=301, out_base=300), "also reads as 'res'"),
        (make_packet("GEMM", **GEMM16, res_kind=2, res_base=300, out_base=300), "also reads as 'res'"),
        (make_packet("GEMM", **GEMM16, row_max=1, scale_by=1, row_base=307, out_base=300), "as 'out' and as 'row'"),
        (make_packet("GEMM", **GEMM16, row_max=1, scale_by=1, row_base=308, out_base=300), ""),
        (make_packet("ROW", **ROW8, a_base=300, out_base=300), ""),
        (make_packet("ROW", **ROW8, a_base=300, out_base=300, out_bytes=1), "also reads as 'a'"),
        (make_packet("ROW", **ROW8, a_base=300, out_base=400, reduce=1), ""),
        (make_packet("ROW", **{**ROW8, "reduce_base": 403}, a_base=300, out_base=400, reduce=1), "and as 'reduce'"),
        (make_packet("ROW", **{**ROW8, "reduce_base": 600}, row_mode=1, out_base=400, reduce=1), "reads as 'row'"),
        (make_packet("RECIP", n=4, in_base=300, out_base=300), ""),
        (make_packet("RECIP", n=4, in_base=300, out_base=302), "also reads as 'in'"),
        (make_packet("GATHER", table_base=300, table_rows=9, table_stride=1, n=2, act_base=308), "reads as 'table'"),
    ],
)
def test_what_a_packet_reads_and_writes_itself(packet: Packet, reason: str) -> None:
    program = program_of(load("tiny"), [packet, HALT])
    if not reason:
        hazards.check(program)
        return
    with pytest.raises(HazardError, match=reason):
        hazards.check(program)


def test_a_program_of_two_thousand_packets() -> None:
    """They touch about 20 MB of activations, in two heaps."""
    words = [packet for i in range(666) for packet in _layer(i)]
    heaps, per = [], 1000
    for h in range(2):
        chunk = words[h * per : (h + 1) * per]
        chunk.append(make_packet("JUMP", target=8192) if h == 0 else HALT)
        heaps.append(Segment(8192 * h, b"".join(map(encode, chunk))))
    program = replace(program_of(load("u50"), [HALT]), heaps=heaps, sources=[], data_bytes=64 << 14)
    hazards.check(program)
