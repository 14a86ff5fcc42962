"""The slow reference: each instruction as the table's text says it, one word at a time, in int64.

It shares nothing with `vlarun.execute` but the arrays of `Machine`. The only vector operations are over
the B lanes of one word. Both `sim` and the RTL are checked against it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.encoding import decode
from vla_isa.fields import PACKET_BYTES
from vla_isa.hardware import LINE_BYTES
from vla_isa.instructions import MOVES, VEC_FUNCTIONS
from vla_isa.packet import Packet
from vla_isa.program import Program
from vlarun.memory import Machine, load_data

__all__ = ["execute", "run"]

I64 = NDArray[np.int64]


def execute(packet: Packet, machine: Machine) -> None:
    """Execute one legal packet; the output must not overlap the inputs unless it equals one of them."""
    {"CONV": _conv, "GEMM": _gemm, "COPY": _copy, "POOL": _pool, "VEC": _vec, "JUMP": _nothing, "HALT": _nothing}[
        packet.name
    ](packet, machine)


def _nothing(packet: Packet, machine: Machine) -> None:
    """JUMP and HALT touch no memory."""


def _address(packet: Packet, region: str, y: int, c: int, x: int) -> int:
    """The activation word of pixel (y, x) of channel block c of a region."""
    row = (packet[f"{region}_slot"] + y) % packet[f"{region}_ring"]
    return packet[f"{region}_base"] + row * packet[f"{region}_row_stride"] + c * packet[f"{region}_pitch"] + x


def _act(machine: Machine, address: int) -> I64:
    word: I64 = machine.act[address % machine.hw.act_words].astype(np.int64)
    return word


def _put(machine: Machine, address: int, q: I64) -> None:
    machine.act[address % machine.hw.act_words] = q.astype(np.int8)


def _weights(machine: Machine, address: int) -> I64:
    """One weight word, int64 [out channel, in channel]."""
    block = machine.hw.block
    word: I64 = machine.weight[address % machine.hw.weight_words].reshape(block, block).astype(np.int64)
    return word


def _param(machine: Machine, address: int) -> NDArray[np.uint8]:
    word: NDArray[np.uint8] = machine.param[address % machine.hw.param_words]
    return word


def _records(machine: Machine, address: int) -> tuple[I64, I64, I64]:
    """(bias, mult, shift) of the B records in one parameter word."""
    return numerics.unpack_records(_param(machine, address).reshape(-1, 8))


def _table(machine: Machine, base: int, q: I64) -> I64:
    """The table's entry for each lane."""
    out = []
    for value in q:
        word, byte = divmod(int(value) + 128, machine.hw.param_word_bytes)
        out.append(int(_param(machine, base + word).view(np.int8)[byte]))
    return np.array(out, np.int64)


def _mask_bit(machine: Machine, base: int, o: int, i: int) -> bool:
    """Bit i of the parameter word of out block o."""
    byte, bit = divmod(i, 8)
    word = _param(machine, base + o)
    return byte < word.size and bool((int(word[byte]) >> bit) & 1)


def _live(packet: Packet, machine: Machine, o: int) -> list[int]:
    """The in blocks whose weights exist for out block o."""
    every = range(packet["in_blocks"])
    if packet["mask_mode"] == 0:
        return list(every)
    if packet["mask_mode"] == 2:
        return [o]
    return [i for i in every if _mask_bit(machine, packet["mask_base"], o, i)]


def _conv(packet: Packet, machine: Machine) -> None:
    taps = packet["kernel_h"] * packet["kernel_w"]
    word = packet["weight_base"]
    for o in range(packet["out_blocks"]):
        live = _live(packet, machine, o)
        weights = [_weights(machine, word + n) for n in range(len(live) * taps)]
        word += len(weights)
        bias, mult, shift = _records(machine, packet["param_base"] + o)
        if not live and packet["mask_empty"] == 0:
            bias = np.zeros_like(bias)
        for y in range(packet["out_h"]):
            for x in range(packet["out_w"]):
                acc = _conv_sum(packet, machine, live, weights, y, x)
                q = numerics.requantize(
                    numerics.wrap32(acc),
                    bias,
                    mult,
                    shift,
                    packet["rounding"],
                    packet["out_zero"],
                    packet["lo"],
                    packet["hi"],
                )
                _put(machine, _address(packet, "out", y, o, x), _conv_tail(packet, machine, q, y, o, x))


def _conv_sum(packet: Packet, machine: Machine, live: list[int], weights: list[I64], y: int, x: int) -> I64:
    """The accumulators of output pixel (y, x) for one out block, before they wrap."""
    acc = np.zeros(machine.hw.block, np.int64)
    number = 0
    for i in live:
        for ky in range(packet["kernel_h"]):
            for kx in range(packet["kernel_w"]):
                iy = y * packet["stride_h"] + ky * packet["dilation_h"] - packet["pad_top"]
                ix = x * packet["stride_w"] + kx * packet["dilation_w"] - packet["pad_left"]
                if 0 <= iy < packet["in_h"] and 0 <= ix < packet["in_w"]:
                    pixel = _act(machine, _address(packet, "in", iy, i, ix))
                else:
                    pixel = np.full(machine.hw.block, packet["in_zero"], np.int64)
                acc = acc + weights[number] @ pixel
                number += 1
    return acc


def _conv_tail(packet: Packet, machine: Machine, q: I64, y: int, o: int, x: int) -> I64:
    """Table, then residual."""
    if packet["table_enable"]:
        q = _table(machine, packet["table_base"], q)
    if packet["residual_enable"]:
        word = _param(machine, packet["param_base"] + packet["out_blocks"])
        record = numerics.ResidualRecord.unpack(word[:12].tobytes())
        q = numerics.residual_add(q, _act(machine, _address(packet, "res", y, o, x)), record, packet["rounding"])
    return q


def _gemm(packet: Packet, machine: Machine) -> None:
    for b in range(packet["batch"]):
        for n in range(packet["n_blocks"]):
            bias, mult, shift = _records(machine, packet["param_base"] + (n if packet["scale_by"] == 0 else 0))
            if packet["scale_by"] == 1:
                bias, mult, shift = bias[:1], mult[:1], shift[:1]
            first = packet["weight_base"] + b * packet["weight_batch_stride"] + n * packet["k_blocks"]
            for m in range(packet["m"]):
                acc = np.zeros(machine.hw.block, np.int64)
                for k in range(packet["k_blocks"]):
                    word = packet["in_base"] + b * packet["in_batch_stride"] + k * packet["in_pitch"] + m
                    acc = acc + _weights(machine, first + k) @ _act(machine, word)
                q = numerics.requantize(
                    numerics.wrap32(acc),
                    bias,
                    mult,
                    shift,
                    packet["rounding"],
                    packet["out_zero"],
                    packet["lo"],
                    packet["hi"],
                )
                if packet["table_enable"]:
                    q = _table(machine, packet["table_base"], q)
                word = packet["out_base"] + b * packet["out_batch_stride"] + n * packet["out_pitch"] + m
                _put(machine, word, q)


def _steps(packet: Packet, side: str, ring: bool) -> Iterator[tuple[int, int, int]]:
    """(i1, i2, offset) of every run of n0 words of a COPY's side, offset in that side's stride unit."""
    size, slot = (packet[f"{side}_ring"], packet[f"{side}_slot"]) if ring else (0, 0)
    for i3 in range(packet["n3"]):
        for i2 in range(packet["n2"]):
            row = (slot + i2) % size if size else i2
            for i1 in range(packet["n1"]):
                yield (
                    i1,
                    i2,
                    (
                        packet[side]
                        + i3 * packet[f"{side}_stride3"]
                        + row * packet[f"{side}_stride2"]
                        + i1 * packet[f"{side}_stride1"]
                    ),
                )


def _copy(packet: Packet, machine: Machine) -> None:
    """Read all words in order, then write them in order."""
    move = MOVES[packet["move"]]
    source, _, target = move.partition("_to_")
    if move == "fill_act":
        source, target = "fill", "act"
    memories = {"act": machine.act, "weight": machine.weight, "param": machine.param.view(np.int8)}
    block_bytes = memories[source if target == "data" else target].shape[1]
    words: list[NDArray[np.int8]] = []
    for i1, i2, offset in _steps(packet, "src", source == "act"):
        if packet["mask_enable"] and not _mask_bit(machine, packet["mask_base"], i2, i1):
            continue
        for i0 in range(packet["n0"]):
            if source == "data":
                byte = offset * LINE_BYTES + i0 * block_bytes
                words.append(machine.data[byte : byte + block_bytes].copy())
            elif source == "weight":
                words.append(machine.weight_space[offset + i0].copy())
            elif source == "act":
                words.append(machine.act[(offset + i0) % machine.hw.act_words].copy())
            else:
                words.append(np.full(block_bytes, packet["pad"], np.int8))
    if packet["mask_enable"]:
        for n, word in enumerate(words):
            machine.weight[(packet["dst"] + n) % machine.hw.weight_words] = word
        return
    number = 0
    for _, _, offset in _steps(packet, "dst", target == "act"):
        for i0 in range(packet["n0"]):
            if target == "data":
                byte = offset * LINE_BYTES + i0 * block_bytes
                machine.data[byte : byte + block_bytes] = words[number]
            else:
                memory = memories[target]
                memory[(offset + i0) % memory.shape[0]] = words[number]
            number += 1


def _pool(packet: Packet, machine: Machine) -> None:
    block = machine.hw.block
    for c in range(packet["in_blocks"]):
        real = np.arange(c * block, (c + 1) * block) < packet["channels"]
        for y in range(packet["out_h"]):
            for x in range(packet["out_w"]):
                taps = _taps(packet, machine, c, y, x)
                q = _pool_average(packet, machine, taps) if packet["mode"] else _pool_maximum(machine, taps)
                _put(machine, _address(packet, "out", y, c, x), np.where(real, q, packet["out_zero"]))


def _taps(packet: Packet, machine: Machine, c: int, y: int, x: int) -> list[I64]:
    """The input words inside the window of output pixel (y, x)."""
    out = []
    for ky in range(packet["kernel_h"]):
        for kx in range(packet["kernel_w"]):
            iy = y * packet["stride_h"] + ky - packet["pad_top"]
            ix = x * packet["stride_w"] + kx - packet["pad_left"]
            if 0 <= iy < packet["in_h"] and 0 <= ix < packet["in_w"]:
                out.append(_act(machine, _address(packet, "in", iy, c, ix)))
    return out


def _pool_maximum(machine: Machine, taps: list[I64]) -> I64:
    best = np.full(machine.hw.block, -128, np.int64)
    for tap in taps:
        best = np.maximum(best, tap)
    return best


def _pool_average(packet: Packet, machine: Machine, taps: list[I64]) -> I64:
    total = np.zeros(machine.hw.block, np.int64)
    for tap in taps:
        total = total + (tap - packet["in_zero"])
    number = max(len(taps) - 1, 0) if packet["count"] else 0
    word, lane = divmod(number, machine.hw.block)
    _, mult, shift = _records(machine, packet["param_base"] + word)
    return numerics.average(
        total, mult[lane], shift[lane], packet["rounding"], packet["out_zero"], packet["lo"], packet["hi"]
    )


def _vec(packet: Packet, machine: Machine) -> None:
    for c in range(packet["out_blocks"]):
        for y in range(packet["out_h"]):
            for x in range(packet["out_w"]):
                a = _act(machine, _address(packet, "a", y, c, x))
                b = _vec_b(packet, machine, y, c, x)
                q = numerics.elementwise(
                    VEC_FUNCTIONS[packet["function"]],
                    a,
                    b,
                    a_zero=packet["a_zero"],
                    b_zero=packet["b_zero"],
                    a_mult=packet["a_mult"],
                    b_mult=packet["b_mult"],
                    shift=packet["shift"],
                    rounding=packet["rounding"],
                    out_zero=packet["out_zero"],
                    lo=packet["lo"],
                    hi=packet["hi"],
                )
                if packet["table_enable"]:
                    q = _table(machine, packet["table_base"], q)
                _put(machine, _address(packet, "out", y, c, x), q)


def _vec_b(packet: Packet, machine: Machine, y: int, c: int, x: int) -> I64:
    """Operand b: a tensor, a row, a column or a scalar."""
    if packet["b_kind"] == 0:
        return _act(machine, _address(packet, "b", y, c, x))
    if packet["b_kind"] == 1:
        return _act(machine, _address(packet, "b", 0, c, 0))
    if packet["b_kind"] == 2:
        return _act(machine, _address(packet, "b", y, 0, x))[:1]
    return np.full(1, packet["b_scalar"], np.int64)


def run(program: Program, entry: int = 0, stop_at: int | None = None) -> Machine:
    """Execute a program in program order from packet `entry` until HALT, or up to packet address `stop_at`.

    Semaphores are not followed: a legal program never waits in this order.
    """
    machine = Machine(program.config, load_data(program), program.weights)
    address = entry * PACKET_BYTES
    while address != stop_at:
        packet = decode(machine.data[address : address + PACKET_BYTES].tobytes())
        execute(packet, machine)
        if packet.name == "HALT":
            break
        address = packet["target"] * LINE_BYTES if packet.name == "JUMP" else address + PACKET_BYTES
    return machine
