"""COPY: strided moves between the data space, the weight space and the memories on chip."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vla_isa.access import Access, Params
from vla_isa.fields import Field, Rule, pack_fields
from vla_isa.footprint import access, live_blocks, require_fit
from vla_isa.generated import codes
from vla_isa.hardware import LINE_BYTES, HardwareConfig
from vla_isa.instructions.copy_cost import copy_cost, run_lines, run_words
from vla_isa.instructions.shared_fields import header, index
from vla_isa.instructions.shared_meaning import mask_bit
from vla_isa.intervals import Intervals, single
from vla_isa.memories import Memories
from vla_isa.operands import Arena, Operands, Rng, Values, draw_int8, draw_number, draw_region
from vla_isa.packet import Instruction, Packet

__all__ = ["COPY"]

_MOVES = (
    "data_to_act",
    "act_to_act",
    "fill_act",
    "data_to_param",
    "weight_to_weight",
    "act_to_data",
    "act_to_weight",
    "data_to_weight",
)


def _mask_words(packet: Packet) -> range:
    """One parameter word per out block, where a mask is used."""
    return range(packet["mask_base"], packet["mask_base"] + packet["n2"]) if packet["mask_enable"] else range(0)


def _act_bases(packet: Packet) -> tuple[str, ...]:
    """The ends that lie in the activation scratchpad."""
    source, target = _ends(packet)
    return tuple(field for field, memory in (("src", source), ("dst", target)) if memory == "act")


def _ends(packet: Packet) -> tuple[str, str]:
    """(source, target) memory: "data", "act", "param", "weight" (its source is the weight space), or "fill"."""
    if packet["move"] == codes.Move.FILL_ACT:
        return "fill", "act"
    source, _, target = packet.choice("move").partition("_to_")
    return source, target


def _copy_side(packet: Packet, side: str, length: int, ring: bool) -> Intervals:
    """Words of the source or destination of a COPY without mask; steps of stride 0 are visited once."""
    v = packet.values
    rows = np.arange(v["n2"])
    if ring and v[f"{side}_ring"]:
        rows = (v[f"{side}_slot"] + rows) % v[f"{side}_ring"]
    start = (
        v[side]
        + (np.arange(v["n3"]) * v[f"{side}_stride3"])[:, None, None]
        + (rows * v[f"{side}_stride2"])[None, :, None]
        + (np.arange(v["n1"]) * v[f"{side}_stride1"])[None, None, :]
    ).ravel()
    return np.stack([start, start + length], axis=1)


def _footprint(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    v = packet.values
    words = v["n0"] * v["n1"] * v["n2"] * v["n3"]
    if words == 0:
        return
    if v["mask_enable"]:
        yield from _masked_footprint(packet, hw, params)
        return
    source, target = _ends(packet)
    limit = {"param": hw.param_words, "weight": hw.weight_words}.get(target, hw.act_words)
    words *= run_words(packet, "act", hw) // packet["n0"] if target == "act" else 1
    require_fit(packet, "dst", words, limit, "memory it moves to or from")
    for side, space in (("src", "weight_hbm" if source == "weight" else source), ("dst", target)):
        if space != "fill":
            length = run_lines(packet, hw) if space == "data" else run_words(packet, space, hw)
            yield access(space, side == "dst", side, _copy_side(packet, side, length, space == "act"))


def _masked_footprint(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    v = packet.values
    live = live_blocks(packet, (v["n2"], v["n1"]), hw, params)
    outs, ins = np.nonzero(live)
    require_fit(packet, "dst", v["n0"] * len(outs), hw.weight_words, "weight scratchpad")
    mask = _mask_words(packet)
    yield access("param", False, "mask", single(mask.start, len(mask)))
    start = v["src"] + outs * v["src_stride2"] + ins * v["src_stride1"]
    yield access("weight_hbm", False, "src", np.stack([start, start + v["n0"]], axis=1))
    yield access("weight", True, "dst", single(v["dst"], v["n0"] * len(outs)))


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


def _meaning(packet: Packet, memories: Memories) -> None:
    """Read all words in order, then write them in order."""
    if packet["unit"] == codes.Unit.TRANSPOSE or packet["move"] == codes.Move.ACT_TO_WEIGHT:
        _move_squares(packet, memories)
        return
    source, target = _ends(packet)
    on_chip = {"act": memories.act, "weight": memories.weight, "param": memories.param.view(np.int8)}
    block_bytes = on_chip[source if target == "data" else target].shape[1]
    words: list[NDArray[np.int8]] = []
    for i1, i2, offset in _steps(packet, "src", source == "act"):
        if packet["mask_enable"] and not mask_bit(memories, packet["mask_base"], i2, i1):
            continue
        for i0 in range(packet["n0"]):
            if source == "data":
                byte = offset * LINE_BYTES + i0 * block_bytes
                words.append(memories.data[byte : byte + block_bytes].copy())
            elif source == "weight":
                words.append(memories.weight_space[offset + i0].copy())
            elif source == "act":
                words.append(memories.act[(offset + i0) % memories.hw.act_words].copy())
            else:
                words.append(np.full(block_bytes, packet["pad"], np.int8))
    if packet["mask_enable"]:
        for n, word in enumerate(words):
            memories.weight[(packet["dst"] + n) % memories.hw.weight_words] = word
        return
    number = 0
    for _, _, offset in _steps(packet, "dst", target == "act"):
        for i0 in range(packet["n0"]):
            if target == "data":
                byte = offset * LINE_BYTES + i0 * block_bytes
                memories.data[byte : byte + block_bytes] = words[number]
            else:
                memory = on_chip[target]
                memory[(offset + i0) % memory.shape[0]] = words[number]
            number += 1


def _move_squares(packet: Packet, memories: Memories) -> None:
    """B consecutive activation words at a time: into one weight word, or with bytes and words exchanged."""
    hw, squares = memories.hw, []
    for _, _, offset in _steps(packet, "src", ring=True):
        for i0 in range(packet["n0"]):
            address = offset + i0 * hw.block + np.arange(hw.block)
            squares.append(memories.act[address % hw.act_words])
    number, to_weight = 0, packet["move"] == codes.Move.ACT_TO_WEIGHT
    for _, _, offset in _steps(packet, "dst", ring=not to_weight):
        for i0 in range(packet["n0"]):
            if to_weight:
                memories.weight[(offset + i0) % hw.weight_words] = squares[number].reshape(-1)
            else:
                address = offset + i0 * hw.block + np.arange(hw.block)
                memories.act[address % hw.act_words] = squares[number].T
            number += 1


def _draw(rng: Rng, arena: Arena, *, in_ring: bool | None = None, out_ring: bool | None = None, **fixed: int) -> Values:
    """A COPY on chip; the moves from and to HBM are in every program. Choices: rings, any field."""
    inside = [int(m) for m in (codes.Move.ACT_TO_ACT, codes.Move.FILL_ACT, codes.Move.ACT_TO_WEIGHT)]
    v: Values = {
        "move": int(rng.choice(inside)),
        "n0": draw_number(rng, 1, 9),
        "n1": draw_number(rng, 1, 3),
        "n2": draw_number(rng, 1, 4),
        "n3": draw_number(rng, 1, 2),
        "pad": draw_int8(rng),
        **fixed,
    }
    if v["move"] == codes.Move.ACT_TO_ACT:
        v.setdefault("unit", draw_number(rng, 0, 3) // 3)
    squares = v.get("unit") or v["move"] == codes.Move.ACT_TO_WEIGHT
    if squares:
        v["n0"] = fixed.get("n0", draw_number(rng, 1, 3))
    width = v["n0"] * (arena.hw.block if squares else 1)
    sides = [("a", "src", in_ring)] if v["move"] != codes.Move.FILL_ACT else []
    sides += [("b", "dst", out_ring)] if v["move"] != codes.Move.ACT_TO_WEIGHT else []
    for side, name, ring in sides:
        first = arena.act
        r = draw_region(rng, arena, side, max(v["n2"], 1), width, v["n1"], ring=ring)
        size = arena.act - first
        arena.take_act(size * (v["n3"] - 1))
        v |= {
            name: r[f"{side}_base"],
            f"{name}_stride1": r[f"{side}_pitch"],
            f"{name}_stride2": r[f"{side}_row_stride"],
            f"{name}_stride3": size,
            f"{name}_ring": r[f"{side}_ring"] if r[f"{side}_slot"] else 0,
            f"{name}_slot": r[f"{side}_slot"],
        }
    if v["move"] == codes.Move.ACT_TO_WEIGHT:
        v |= _draw_weights(rng, arena, v)
    return v


def _draw_weights(rng: Rng, arena: Arena, v: Values) -> Values:
    """Where weight words go, with gaps."""
    steps, size = [], v["n0"]
    for n in ("n1", "n2", "n3"):
        steps.append(size + draw_number(rng, 0, 1))
        size = steps[-1] * v[n]
    return {"dst": arena.take_weight(size), **{f"dst_stride{i}": step for i, step in enumerate(steps, 1)}}


COPY = Instruction(
    name="COPY",
    opcode=0x03,
    queue="move",  # by destination
    queues=("load", "load", "load", "wload", "wload", "store", "wload", "wload"),
    summary="Strided 4-D move. n0 is contiguous and counts words of the destination memory (of the source "
    "for act_to_data); n1 channel blocks, n2 rows, n3 outer. Strides of the data space are in "
    "lines, of the others in words. Rings apply to dimension 2 on the activation side. A count of "
    "zero moves nothing: the packet only waits and signals. With mask_enable (weight_to_weight "
    "only) block (i2 = out block, i1 = in block) of n0 words is skipped where its mask bit is "
    "zero, and what is moved is written without gaps from dst. act_to_weight makes each weight word of B "
    "consecutive activation words, the first one its first out channel. data_to_weight takes weight words "
    "from consecutive lines. With unit transpose n0 counts squares of B consecutive words on both sides: "
    "byte i of word j of a square becomes byte j of its word i. With index_enable the source or destination "
    "is further by index_register * index_stride.",
    fields=pack_fields(
        [
            *header(),
            Field("move", 3, "from where to where", enum=_MOVES, code="Move"),
            Field("src", 32, "source: data line, or word"),
            Field("dst", 32, "destination: data line, or word"),
            Field("n0", 16, "contiguous words"),
            Field("n1", 12, "channel blocks"),
            Field("n2", 12, "rows"),
            Field("n3", 12, "outer count"),
            Field("src_stride1", 22, "source step of n1"),
            Field("src_stride2", 22, "source step of n2"),
            Field("src_stride3", 22, "source step of n3"),
            Field("dst_stride1", 22, "destination step of n1"),
            Field("dst_stride2", 22, "destination step of n2"),
            Field("dst_stride3", 22, "destination step of n3"),
            Field("src_ring", 11, "rows of the source ring (act source)"),
            Field("src_slot", 11, "slot of row 0 in the source ring"),
            Field("dst_ring", 11, "rows of the destination ring (act destination)"),
            Field("dst_slot", 11, "slot of row 0 in the destination ring"),
            Field("pad", 8, "byte that fill_act writes", signed=True),
            Field("mask_enable", 1, "skip weight blocks whose mask bit is zero"),
            Field("mask_base", 16, "parameter word of the mask: one word per out block", below="param_words"),
            Field(
                "unit",
                1,
                "what n0 counts: words, or squares of B words whose bytes are transposed (act_to_act)",
                enum=("word", "transpose"),
                code="Unit",
            ),
            Field("index_side", 1, "what the index is added to", enum=("src", "dst"), code="IndexSide"),
            *index("src or dst"),
        ]
    ),
    rules=(
        Rule("src_ring == 0 || (src_slot < src_ring && n2 <= src_ring)", "source rows lie in the ring (0: no ring)"),
        Rule("dst_ring == 0 || (dst_slot < dst_ring && n2 <= dst_ring)", "destination rows lie in the ring"),
        Rule("mask_enable == 0 || (move == 4 && n3 <= 1)", "a mask belongs to one weight_to_weight COPY"),
        Rule("unit == 0 || move == 1", "words are transposed inside the activation scratchpad"),
    ),
    footprint=_footprint,
    cost=copy_cost,
    meaning=_meaning,
    mask_words=_mask_words,
    act_bases=_act_bases,
    operands=Operands(_draw, inputs=("src",), output="dst"),
)
