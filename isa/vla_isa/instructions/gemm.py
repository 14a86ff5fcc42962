"""GEMM: a batch of matrix products of activations with weights, requantized."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vla_isa.access import Access, Params
from vla_isa.cost import Cost, Timing
from vla_isa.engine_cycles import mac_cost
from vla_isa.fields import Field, pack_fields
from vla_isa.footprint import access, require_fit, table_access
from vla_isa.generated import codes
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.shared_fields import header, matrix, requantize, table
from vla_isa.instructions.shared_meaning import act_word, look_up, put_act, records, requantized, weight_word
from vla_isa.intervals import single
from vla_isa.memories import Memories
from vla_isa.operands import Arena, Operands, RegionUse, Rng, Values, draw_clamps, draw_number, draw_records, draw_table
from vla_isa.packet import Instruction, Packet

__all__ = ["GEMM"]


def _act_bases(packet: Packet) -> tuple[str, ...]:
    rows = ("row_base",) if packet["row_max"] or packet["scale_by"] == codes.ScaleBy.ROW else ()
    return ("in_base", "out_base", *rows, *(("res_base",) if packet["res_kind"] else ()))


def _footprint(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    v = packet.values

    def operand(role: str, space: str, write: bool, blocks: int, pitch: int, width: int, limit: int) -> Access:
        stride = v[f"{role}_batch_stride"]
        batches = v["batch"] if stride or write else 1
        require_fit(packet, role, batches * blocks * width, limit, f"'{space}' memory")
        start = v[f"{role}_base"] + np.arange(batches)[:, None] * stride + np.arange(blocks) * pitch
        return access(space, write, role, np.stack([start.ravel(), start.ravel() + width], axis=1))

    yield operand("in", "act", False, v["k_blocks"], v["in_pitch"], v["m"], hw.act_words)
    yield operand("weight", "weight", False, 1, 0, v["n_blocks"] * v["k_blocks"], hw.weight_words)
    count = 1 if v["scale_by"] == codes.ScaleBy.TENSOR else v["n_blocks"]
    yield access("param", False, "records", single(v["param_base"], count))
    yield from table_access(packet, hw)
    yield operand("out", "act", True, v["n_blocks"], v["out_pitch"], v["m"], hw.act_words)


def _cost(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    v = packet.values
    strips = np.ones(-(-v["m"] // hw.pixels), np.int64)
    outs = np.full(v["batch"] * v["n_blocks"], v["k_blocks"])
    return mac_cost(strips, outs, v["m"], hw, timing, table=v["table_enable"])


def _meaning(packet: Packet, memories: Memories) -> None:
    for b in range(packet["batch"]):
        for n in range(packet["n_blocks"]):
            by_tensor = packet["scale_by"] == codes.ScaleBy.TENSOR
            bias, mult, shift = records(memories, packet["param_base"] + (0 if by_tensor else n))
            if by_tensor:
                bias, mult, shift = bias[:1], mult[:1], shift[:1]
            first = packet["weight_base"] + b * packet["weight_batch_stride"] + n * packet["k_blocks"]
            for m in range(packet["m"]):
                acc = np.zeros(memories.hw.block, np.int64)
                for k in range(packet["k_blocks"]):
                    word = packet["in_base"] + b * packet["in_batch_stride"] + k * packet["in_pitch"] + m
                    acc = acc + weight_word(memories, first + k) @ act_word(memories, word)
                q = look_up(packet, memories, requantized(packet, acc, (bias, mult, shift)))
                word = packet["out_base"] + b * packet["out_batch_stride"] + n * packet["out_pitch"] + m
                put_act(memories, word, q)


def _draw(rng: Rng, arena: Arena, *, records: str = "usual", **fixed: int) -> Values:
    """A GEMM. Choices: record style, any field."""
    hw = arena.hw
    v: Values = {
        "batch": draw_number(rng, 1, 3),
        "m": draw_number(rng, 1, 11),
        "k_blocks": draw_number(rng, 1, 4),
        "n_blocks": draw_number(rng, 1, 4),
        "scale_by": draw_number(rng, 0, 1),
        "table_enable": draw_number(rng, 0, 3) == 0,
        **draw_clamps(rng),
        **fixed,
    }
    for side, blocks in (("in", v["k_blocks"]), ("out", v["n_blocks"])):
        pitch = v["m"] + draw_number(rng, 0, 3)
        stride = blocks * pitch + draw_number(rng, 0, 3)
        v |= {
            f"{side}_pitch": pitch,
            f"{side}_batch_stride": stride,
            f"{side}_base": arena.take_act(v["batch"] * stride),
        }
    count = v["n_blocks"] * v["k_blocks"]
    v["weight_batch_stride"] = int(rng.choice([0, count, count + 1]))
    v["weight_base"] = arena.take_weight((v["batch"] - 1) * v["weight_batch_stride"] + count)
    magnitude = 74 * 74 * (v["k_blocks"] * hw.block) ** 0.5
    v["param_base"] = arena.put_params(draw_records(rng, v["n_blocks"] * hw.block, magnitude, records))
    if v["table_enable"]:
        v["table_base"] = arena.put_params(draw_table(rng))
    return v


GEMM = Instruction(
    name="GEMM",
    opcode=0x02,
    queue="mac",
    summary="For each batch: activations [K/B][M][B] times weights [N/B][K/B][B x B] from the weight "
    "scratchpad, requantized, to [N/B][M][B].",
    fields=pack_fields(
        [
            *header(),
            Field("batch", 10, "how many products", minimum=1),
            Field("h", 11, "rows of a batch, which share its weights", minimum=1, maximum=1),
            Field("m", 14, "pixels of a row", minimum=1),
            Field("k_blocks", 12, "channel blocks of the shared dimension", minimum=1),
            Field("n_blocks", 12, "channel blocks of the output", minimum=1),
            *matrix("in", "the input", batch=True, wide=False),
            *matrix("out", "the output", batch=True, limits={"bytes": 0}),
            Field("weight_base", 16, "weight word of the first weight block", below="weight_words"),
            Field("weight_batch_stride", 16, "weight words between batches"),
            Field("param_base", 16, "parameter word of the records", below="param_words"),
            Field(
                "scale_by",
                2,
                "parameter records per output column; one (the first) for all; a row record per pixel",
                enum=("column", "tensor", "row"),
                code="ScaleBy",
                maximum=1,
            ),
            *requantize(),
            *table(),
            Field("row_base", 20, "activation word of the row records read, or maxima written", below="act_words"),
            Field("row_batch_stride", 20, "words between batches of the row records or maxima"),
            *matrix("res", "the int16 residual", kinds=True, batch=True, wide=False, limits={"kind": 0}),
            Field("row_max", 1, "mask columns by the limit and write the maximum of each pixel", maximum=0),
            Field("limit", 14, "columns of pixel 0 of a row that are not masked"),
            Field("limit_step", 1, "one more column from pixel to pixel"),
        ]
    ),
    footprint=_footprint,
    cost=_cost,
    meaning=_meaning,
    act_bases=_act_bases,
    operands=Operands(
        _draw,
        inputs=("in_base",),
        regions={
            "in": RegionUse({"k_blocks": 2}, {"batch": 2, "out_batch_stride": 1}),  # two batches write two results
            "out": RegionUse({"n_blocks": 2}, {"batch": 2}),
        },
    ),
)
