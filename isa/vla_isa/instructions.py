"""THE TABLE: every instruction, its fields, limits and rules. Nothing else states a bit position.

A packet is 64 bytes, little endian, opcode in byte 0, then the wait and signal masks of the 16
semaphores. Addresses are in words of the memory they point into (activation words of B bytes, weight
words of B*B bytes, parameter words of 8*B bytes); data-space addresses are in 64-byte lines.

A tensor on chip is `[H][C/B][W][B]`: pixel (y, x) of channel block c lies at word

    base + ((slot + y) mod ring) * row_stride + c * pitch + x

so a region may be a ring of `ring` rows whose row 0 of this packet sits in slot `slot`; a region that
is no ring has ring >= its rows and slot 0.
"""

from __future__ import annotations

from enum import IntEnum

from vla_isa.fields import Field, Rule, pack_fields
from vla_isa.packet import FETCH, Instruction, check_table

__all__ = ["BY_NAME", "BY_OPCODE", "MOVES", "ROUNDINGS", "TABLE", "ErrorCode"]

ROUNDINGS = ("nearest_even", "half_up", "floor")
MOVES = ("data_to_act", "act_to_act", "fill_act", "data_to_param", "weight_to_weight", "act_to_data")


class ErrorCode(IntEnum):
    """What the status register says when the machine stops; `ERROR_ADDR` then holds the packet's address."""

    OK = 0
    ILLEGAL_OPCODE = 1  # unknown, or not implemented by this machine
    RESERVED_BITS = 2  # a reserved bit is set
    FIELD_LIMIT = 3  # a field outside its limits, or a rule of the table broken
    DEADLOCK = 4  # every engine idle, a packet still waiting; address of the oldest one
    SEMAPHORE_LEFT = 5  # a semaphore is not zero at HALT
    SEMAPHORE_OVERFLOW = 6  # a count would exceed 255; address of the signalling packet
    AXI_READ = 7  # the memory answered a read with an error
    AXI_WRITE = 8  # the memory answered a write with an error


def _header() -> list[Field]:
    return [
        Field("opcode", 8, "the instruction"),
        Field("wait", 16, "take one from each of these semaphores, all in one step, before starting"),
        Field("signal", 16, "add one to each of these semaphores when the last byte is written"),
    ]


def _region(p: str, what: str, *, size: bool, blocks: bool = False) -> list[Field]:
    """A tensor region in the activation scratchpad: base, strides, ring and optionally its size."""
    out = [
        Field(f"{p}_base", 20, f"activation word of {what}: row slot 0, block 0, pixel 0", below="act_words"),
        Field(f"{p}_row_stride", 20, f"words between rows of {what}"),
        Field(f"{p}_pitch", 14, f"words between channel blocks of a row of {what}"),
        Field(f"{p}_ring", 11, f"rows the region of {what} holds", minimum=1),
        Field(f"{p}_slot", 11, f"ring slot of row 0 of {what}"),
    ]
    if size:
        out += [
            Field(f"{p}_h", 11, f"rows of {what}", minimum=1),
            Field(f"{p}_w", 14, f"pixels in a row of {what}", minimum=1),
        ]
    if blocks:
        out.append(Field(f"{p}_blocks", 10, f"channel blocks of {what}", minimum=1))
    return out


def _ring_rules(p: str, rows: str) -> list[Rule]:
    return [
        Rule(f"{p}_slot < {p}_ring", f"the slot of row 0 lies in the ring of `{p}`"),
        Rule(f"{rows} <= {p}_ring", f"all rows of `{p}` are in its ring at once"),
    ]


def _requantize() -> list[Field]:
    return [
        Field("rounding", 2, "how the shift rounds, see numerics.round_shift", enum=ROUNDINGS),
        Field("out_zero", 8, "zero point of the output", signed=True),
        Field("lo", 8, "lower clamp, applied first", signed=True),
        Field("hi", 8, "upper clamp", signed=True),
    ]


def _table() -> list[Field]:
    return [
        Field("table_enable", 1, "replace each result q by byte q + 128 of a 256-byte table"),
        Field("table_base", 16, "parameter word where the table starts", below="param_words"),
    ]


def _index() -> list[Field]:
    return [
        Field("index_enable", 1, "add index register * stride to the bases (needs SET)", maximum=0),
        Field("index_register", 2, "which index register", maximum=0),
        Field("index_count", 8, "declared number of values of the register", maximum=0),
    ]


CONV = Instruction(
    name="CONV",
    opcode=0x01,
    queue="mac",
    summary="2-D convolution over data on chip, requantized per output channel; optional output table, "
    "fused residual add and tile mask. Input row oy*stride_h + ky*dilation_h - pad_top; rows and "
    "pixels outside the input read as in_zero. Weight words lie in the order [out block][live in "
    "block][ky][kx], each B x B bytes [out channel][in channel]. Records of out block o are "
    "parameter word param_base + o; with residual_enable the word param_base + out_blocks holds "
    "the residual record (numerics.ResidualRecord). In this order: requantize, table, residual; a "
    "masked-out block that gets `zero` requantizes 0 with bias 0. Word addresses wrap at the end of "
    "each on-chip memory.",
    fields=pack_fields(
        [
            *_header(),
            *_region("in", "the input", size=True, blocks=True),
            Field("in_zero", 8, "input zero point: what padding reads as", signed=True),
            Field("kernel_h", 4, "kernel rows", minimum=1),
            Field("kernel_w", 4, "kernel columns", minimum=1),
            Field("stride_h", 3, "row stride", minimum=1, maximum=4),
            Field("stride_w", 3, "column stride", minimum=1, maximum=4),
            Field("dilation_h", 5, "row dilation", minimum=1),
            Field("dilation_w", 5, "column dilation", minimum=1),
            Field("pad_top", 8, "rows of padding above the input"),
            Field("pad_left", 8, "pixels of padding left of the input"),
            *_region("out", "the output", size=True, blocks=True),
            Field("weight_base", 16, "weight word of the first weight block", below="weight_words"),
            Field("param_base", 16, "parameter word of the records", below="param_words"),
            *_requantize(),
            *_table(),
            Field(
                "mask_mode",
                2,
                "which weight blocks exist: all; the bits of the mask; in block = out block (depthwise)",
                enum=("dense", "mask", "diagonal"),
            ),
            Field(
                "mask_base",
                16,
                "parameter word of the mask: one word per out block, bit i = in block i",
                below="param_words",
            ),
            Field(
                "mask_empty",
                1,
                "an out block without a live in block gets: its zero point; its bias",
                enum=("zero", "bias"),
            ),
            Field("residual_enable", 1, "add a second tensor to the requantized result"),
            *_region("res", "the residual", size=False),
            *_index(),
        ]
    ),
    rules=(
        *_ring_rules("in", "in_h"),
        *_ring_rules("out", "out_h"),
        Rule("residual_enable == 0 || res_slot < res_ring", "the slot of row 0 lies in the ring of `res`"),
        Rule("residual_enable == 0 || out_h <= res_ring", "all rows of `res` are in its ring at once"),
        Rule("mask_mode != 2 || in_blocks == out_blocks", "a diagonal mask has as many in as out blocks"),
    ),
)

GEMM = Instruction(
    name="GEMM",
    opcode=0x02,
    queue="mac",
    summary="For each batch: activations [K/B][M][B] times weights [N/B][K/B][B x B] from the weight "
    "scratchpad, requantized, to [N/B][M][B].",
    fields=pack_fields(
        [
            *_header(),
            Field("batch", 10, "how many products", minimum=1),
            Field("m", 14, "rows of the activations (pixels)", minimum=1),
            Field("k_blocks", 12, "channel blocks of the shared dimension", minimum=1),
            Field("n_blocks", 12, "channel blocks of the output", minimum=1),
            Field("in_base", 20, "activation word of the input", below="act_words"),
            Field("in_pitch", 14, "words between channel blocks of the input"),
            Field("in_batch_stride", 20, "words between batches of the input"),
            Field("out_base", 20, "activation word of the output", below="act_words"),
            Field("out_pitch", 14, "words between channel blocks of the output"),
            Field("out_batch_stride", 20, "words between batches of the output"),
            Field("weight_base", 16, "weight word of the first weight block", below="weight_words"),
            Field("weight_batch_stride", 16, "weight words between batches"),
            Field("param_base", 16, "parameter word of the records", below="param_words"),
            Field(
                "scale_by",
                2,
                "records per output column, or one record (the first) for all",
                enum=("column", "tensor", "row"),
                maximum=1,
            ),
            *_requantize(),
            *_table(),
            Field(
                "out_bytes",
                2,
                "output element: int8 (others are laid out for transformers)",
                enum=("int8", "int16", "int32"),
                maximum=0,
            ),
            Field("row_scale_base", 20, "activation word of per-row scale records", maximum=0),
            Field("weights_from", 1, "weight scratchpad (activations as weights come with attention)", maximum=0),
            *_index(),
        ]
    ),
)

COPY = Instruction(
    name="COPY",
    opcode=0x03,
    queue="move",  # by destination
    queues=("load", "load", "load", "wload", "wload", "store"),
    summary="Strided 4-D move. n0 is contiguous and counts words of the destination memory (of the source "
    "for act_to_data); n1 channel blocks, n2 rows, n3 outer. Strides of the data space are in "
    "lines, of the others in words. Rings apply to dimension 2 on the activation side. A count of "
    "zero moves nothing: the packet only waits and signals. With mask_enable (weight_to_weight "
    "only) block (i2 = out block, i1 = in block) of n0 words is skipped where its mask bit is "
    "zero, and what is moved is written without gaps from dst.",
    fields=pack_fields(
        [
            *_header(),
            Field("move", 3, "from where to where", enum=MOVES),
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
            Field("unit", 1, "word (the byte transpose is laid out for transformers)", maximum=0),
            *_index(),
        ]
    ),
    rules=(
        Rule("src_ring == 0 || (src_slot < src_ring && n2 <= src_ring)", "source rows lie in the ring (0: no ring)"),
        Rule("dst_ring == 0 || (dst_slot < dst_ring && n2 <= dst_ring)", "destination rows lie in the ring"),
        Rule("mask_enable == 0 || (move == 4 && n3 <= 1)", "a mask belongs to one weight_to_weight COPY"),
    ),
)

POOL = Instruction(
    name="POOL",
    opcode=0x04,
    queue="vec",
    summary="Max or average over a window; a global pool's kernel is the whole map. Max pads with -128 and "
    "writes the maximum as it is (no requantization, no clamp). "
    "Average requantizes the sum of (x - in_zero) over the taps inside the input by record 0 "
    "(count fixed) or record n - 1 (count valid: n taps inside); record r is lane r mod B of "
    "parameter word param_base + r div B, and its bias is ignored. Channels from `channels` on are "
    "written as out_zero.",
    fields=pack_fields(
        [
            *_header(),
            *_region("in", "the input", size=True, blocks=True),
            Field("in_zero", 8, "input zero point", signed=True),
            Field("channels", 14, "real channels", minimum=1),
            Field("mode", 1, "what is computed", enum=("max", "average")),
            Field("count", 1, "which record an average uses", enum=("fixed", "valid")),
            Field("kernel_h", 11, "window rows", minimum=1),
            Field("kernel_w", 11, "window columns", minimum=1),
            Field("stride_h", 4, "row stride", minimum=1),
            Field("stride_w", 4, "column stride", minimum=1),
            Field("pad_top", 8, "rows of padding above"),
            Field("pad_left", 8, "pixels of padding on the left"),
            *_region("out", "the output", size=True),
            Field("param_base", 16, "parameter word of the averages' records", below="param_words"),
            *_requantize(),
        ]
    ),
    rules=(*_ring_rules("in", "in_h"), *_ring_rules("out", "out_h")),
)

VEC_FUNCTIONS = ("add", "sub", "mul", "max", "min", "abs", "shift", "select")

VEC = Instruction(
    name="VEC",
    opcode=0x05,
    queue="vec",
    summary="Elementwise round_shift(f(a, b), shift) + out_zero, clamped, then the optional table. With "
    "A = a - a_zero and B = b - b_zero: add A*a_mult + B*b_mult; sub A*a_mult - B*b_mult; mul "
    "A*B*a_mult; max, min of A*a_mult and B*b_mult; abs |A|*a_mult; shift: A shifted left by B "
    "(right, arithmetic, if B < 0; B is first clamped to -15..15) * a_mult; select: A*a_mult where "
    "B > 0, else 0. b is a tensor; one row (one pixel per block, for all pixels); one column "
    "(channel 0 of one word per pixel, for all channels); or the scalar b_scalar.",
    fields=pack_fields(
        [
            *_header(),
            Field("function", 4, "f", enum=VEC_FUNCTIONS),
            Field("b_kind", 2, "what b is", enum=("tensor", "row", "column", "scalar")),
            Field("b_scalar", 8, "b when it is a scalar", signed=True),
            *_region("a", "operand a", size=False),
            *_region("b", "operand b", size=False),
            *_region("out", "the output", size=True, blocks=True),
            Field("a_zero", 8, "zero point of a", signed=True),
            Field("b_zero", 8, "zero point of b", signed=True),
            Field("a_mult", 24, "multiplier of a"),
            Field("b_mult", 24, "multiplier of b"),
            Field("shift", 6, "shift of the scaled result"),
            *_requantize(),
            *_table(),
            Field("element_bytes", 2, "int8 (int16 and int32 are laid out for transformers)", maximum=0),
        ]
    ),
    rules=(
        *_ring_rules("a", "out_h"),
        *_ring_rules("out", "out_h"),
        Rule("b_kind == 3 || b_slot < b_ring", "the slot of row 0 lies in the ring of `b`"),
        Rule("b_kind == 1 || b_kind == 3 || out_h <= b_ring", "all rows of a tensor or column `b` are in its ring"),
    ),
)

REDUCE = Instruction(
    name="REDUCE",
    opcode=0x06,
    queue="vec",
    implemented=False,
    summary="Per row of a matrix: sum, max, variance, argmax or top-k mask; writes a vector.",
    fields=pack_fields(
        [
            *_header(),
            Field("function", 3, "what is reduced", enum=("sum", "max", "variance", "argmax", "topk_mask")),
            Field("in_base", 20, "activation word of the input", below="act_words"),
            Field("in_pitch", 14, "words between channel blocks"),
            Field("m", 14, "rows", minimum=1),
            Field("blocks", 10, "channel blocks", minimum=1),
            Field("channels", 14, "real channels", minimum=1),
            Field("k", 10, "k of the top-k mask"),
            Field("in_bytes", 2, "input element", enum=("int8", "int16")),
            Field("out_base", 20, "activation word of the vector", below="act_words"),
        ]
    ),
)

RECIP = Instruction(
    name="RECIP",
    opcode=0x07,
    queue="vec",
    implemented=False,
    summary="Per element of a vector: 1/x or 1/sqrt(x) as (mult, shift) records for per-row requantization.",
    fields=pack_fields(
        [
            *_header(),
            Field("function", 1, "which function", enum=("reciprocal", "rsqrt")),
            Field("in_base", 20, "activation word of the vector", below="act_words"),
            Field("n", 14, "elements", minimum=1),
            Field("mult", 24, "scale of the result, mantissa"),
            Field("shift", 6, "scale of the result, shift"),
            Field("add", 32, "added to x first (epsilon)"),
            Field("out_base", 20, "activation word of the records", below="act_words"),
        ]
    ),
)

GATHER = Instruction(
    name="GATHER",
    opcode=0x08,
    queue="load",
    implemented=False,
    summary="Rows by an index vector, read or write: embeddings, cache append, grouping rows by expert.",
    fields=pack_fields(
        [
            *_header(),
            Field("direction", 1, "gather or scatter", enum=("gather", "scatter")),
            Field("from_data", 1, "table in the activation scratchpad or the data space", enum=("act", "data")),
            Field("table_base", 32, "word or line of row 0"),
            Field("table_stride", 22, "step between rows"),
            Field("table_rows", 20, "rows; an index outside is an error", minimum=1),
            Field("index_base", 20, "activation word of the index vector", below="act_words"),
            Field("n", 14, "indices", minimum=1),
            Field("blocks", 10, "channel blocks of a row", minimum=1),
            Field("out_base", 20, "activation word of the rows", below="act_words"),
            Field("out_pitch", 14, "words between channel blocks"),
            *_index(),
        ]
    ),
)

SET = Instruction(
    name="SET",
    opcode=0x09,
    queue=FETCH,
    implemented=False,
    summary="Index register = immediate, or a word in memory.",
    fields=pack_fields(
        [
            *_header(),
            Field("register", 2, "which index register"),
            Field("source", 2, "where the value comes from", enum=("immediate", "act", "param")),
            Field("immediate", 16, "the value"),
            Field("base", 20, "word that holds the value"),
            Field("count", 8, "declared number of values; a larger one is an error", minimum=1),
        ]
    ),
)

LOOP = Instruction(
    name="LOOP",
    opcode=0x0A,
    queue=FETCH,
    implemented=False,
    summary="Repeat the next n packets; depth 2; the counter is an index register.",
    fields=pack_fields(
        [
            *_header(),
            Field("n", 10, "packets in the body", minimum=1),
            Field("count", 16, "repetitions", minimum=1),
            Field("register", 2, "index register that counts"),
        ]
    ),
)

JUMP = Instruction(
    name="JUMP",
    opcode=0x0F,
    queue=FETCH,
    summary="Continue at another packet: fetch takes its semaphores, signals, and goes on there.",
    fields=pack_fields([*_header(), Field("target", 32, "data line of the next packet")]),
)

HALT = Instruction(
    name="HALT",
    opcode=0xFF,
    queue=FETCH,
    summary="Take its semaphores, wait until every queue is empty, then done with a code. Every semaphore "
    "must then be zero.",
    fields=pack_fields([*_header(), Field("code", 32, "what HALT_CODE reads afterwards")]),
)

TABLE = (CONV, GEMM, COPY, POOL, VEC, REDUCE, RECIP, GATHER, SET, LOOP, JUMP, HALT)
check_table(TABLE)

BY_OPCODE = {i.opcode: i for i in TABLE}
BY_NAME = {i.name: i for i in TABLE}
