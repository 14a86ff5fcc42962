"""ROW: elementwise functions of the pixels of matrices, with constants of each pixel, of int8 and int16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated.codes import OperandKind, RowFunction, RowMode, RowTable
from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8, INT16
from vlac.device.layer import requant_fields
from vlac.device.params import channel_parameter, table_parameter
from vlac.ir.channel_maps import grouped_map
from vlac.ir.cut import Cut, Parameter, Span
from vlac.ir.operation import ITEM_BYTES, Home, Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket, matrix_fields
from vlac.ir.records import UNIT, Requant

__all__ = ["RowOp"]

I64 = NDArray[np.int64]
_TABLES = {RowTable.OUT8: ("int8", (256,)), RowTable.IN16: ("int16", (256, 2)), RowTable.DITHER: ("uint16", (256,))}


@dataclass(eq=False)
class RowOp(Op):
    """See `numerics.linear`, `product`, `channel`, `less`, `normalize`, `interpolate` and `dithered`.

    A = in16(a - zero), then A less the pixel's maximum, or normalized by the pixel's record; then the function, zero
    point, clamp and table. The sums of an output with items are those of its channels. Maxima are the items behind a,
    or of an input of their own.

    Attributes:
        roles: of each input "a", "b", "c", or "rows", the row records, or "maxima".
        requant: bias, signed mult and shift per channel, zero point and clamp of the result; no table.
        row_k: what a is multiplied by in front of the record's bias.
        groups: of the channels, as many blocks each; each has the records of a pixel and of channels for itself.
        table, table_mode: int8 [256], int16 [256, 2] (`make_steps`) or uint16 [256], as the mode says.
    """

    roles: tuple[str, ...]
    function: RowFunction
    requant: Requant
    row_mode: RowMode = RowMode.NONE
    row_k: int = 0
    groups: int = 1
    a_mult: int = 0
    c_mult: int = 0
    c_shift: int = 0
    shift: int = 0
    table_mode: RowTable = RowTable.NONE
    table: NDArray[Any] | None = None

    queue = "vec"
    in_bands = False
    by_pixels = True

    @classmethod
    def scaled(cls, node: str, op_type: str, x: Tensor, out: Tensor, mult: int, shift: int, **more: object) -> RowOp:
        """`x` times mult * 2^-shift."""
        lo, hi = (out.stored.lo, out.stored.hi) if out.planes == 1 else (INT8.lo, INT8.hi)
        nothing = np.zeros(0, np.int64)
        requant = Requant(nothing, nothing, nothing, out.zero_point, lo, hi)
        return cls(node, op_type, [x], out, ("a",), RowFunction.LINEAR, requant, a_mult=mult, shift=shift, **more)  # type: ignore[arg-type]

    @classmethod
    def identity(cls, node: str, op_type: str, x: Tensor, out: Tensor) -> RowOp:
        """A copy."""
        return cls.scaled(node, op_type, x, out, *UNIT)

    # --- what it computes -----------------------------------------------------------------------------

    def operand(self, role: str) -> Tensor | None:
        """The input of a role."""
        return self.inputs[self.roles.index(role)] if role in self.roles else None

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        given = dict(zip(self.roles, inputs, strict=True))
        raw = given["a"]
        a = self._first(raw, given)
        r, rounding = self.requant, self.requant.rounding
        scales = {"a_mult": self.a_mult, "c_mult": self.c_mult, "c_shift": self.c_shift, "shift": self.shift}
        c = given.get("c", np.zeros(1, np.int64))
        if self.function == RowFunction.CHANNEL:
            bias, mult, shift = (np.tile(v, self.groups) for v in (r.bias, r.mult, r.shift))
            p = numerics.channel(a, bias, mult, shift, rounding)
        elif self.function == RowFunction.LINEAR:
            p = numerics.linear(a, c, **scales, rounding=rounding)
        else:
            b = self.operand("b")
            assert b is not None
            p = numerics.product(a, given["b"] - b.zero_point, c, **scales, rounding=rounding)
        masked = (raw == numerics.MASKED) & (self.row_mode == RowMode.LESS)
        if self.output.planes == 2:
            return np.where(masked, INT16.lo, numerics.saturate16(p))
        q: I64 = np.where(masked, INT8.lo, numerics.clamp(p + r.zero_point, r.lo, r.hi))
        if self.table is None or self.table_mode == RowTable.IN16:
            return q
        if self.table_mode == RowTable.DITHER:
            return numerics.dithered(q, self.table, np.arange(self.output.c))
        return numerics.apply_table(q, self.table)

    def _first(self, raw: I64, given: dict[str, I64]) -> I64:
        """Operand a after its table, and what the pixel does to it."""
        a = raw - self.inputs[0].zero_point
        if self.table_mode == RowTable.IN16:
            assert self.table is not None
            a = numerics.interpolate(a, self.table)
        if self.row_mode == RowMode.LESS:
            largest = given["maxima"][..., :1] if "maxima" in given else raw.max(axis=2, keepdims=True)
            return numerics.less(a, largest)
        if self.row_mode == RowMode.RECORD:
            rows, grouped = (v.reshape(*v.shape[:2], self.groups, -1) for v in (given["rows"], a))
            bias, mult, shift = (rows[..., i : i + 1] for i in range(3))
            n = numerics.normalize(grouped, self.row_k, bias, mult, shift, self.requant.rounding)
            return n.reshape(a.shape)
        return a

    def takes_wide(self, tensor: Tensor) -> bool:
        """Any."""
        return True

    def verify(self) -> None:
        """Sizes, roles, records and table."""
        out, a = self.output, self.inputs[0]
        self.require(len(self.roles) == len(self.inputs) and self.roles[0] == "a", "its inputs have no roles")
        self.require(out.h == 1, "it is not of one row")
        for role, t in zip(self.roles, self.inputs, strict=True):
            pixels = t.w == out.w or (role in "bc" and t.w == 1)
            self.require(t.h == 1 and pixels, f"'{t.label}' is of another size")
            if role in ("rows", "maxima"):
                count = (3 if role == "rows" else 2) * self.groups
                sizes = (t.c, t.groups) == (count, self.groups)
                self.require(t.home is Home.ITEMS and sizes, f"'{t.label}' holds no {role}")
            else:
                self.require(t.home is Home.MATRIX and t.c == out.c, f"'{t.label}' is of another size")
        known = a.with_items or "maxima" in self.roles
        self.require(self.row_mode != RowMode.LESS or known, f"'{a.label}' has no maxima")
        self.require((self.row_mode == RowMode.RECORD) == ("rows" in self.roles), "records are given and not used")
        if self.function == RowFunction.CHANNEL:
            r = self.requant
            size = out.c // self.groups
            self.require({len(r.bias), len(r.mult), len(r.shift)} == {size}, f"it needs records of {size} channels")
        if self.table_mode != RowTable.NONE:
            kind, shape = _TABLES[self.table_mode]
            right = self.table is not None and self.table.dtype.name == kind and self.table.shape == shape
            self.require(right, "its table is of another kind")

    def multipliers(self) -> I64:
        """Those of records or operands."""
        if self.function == RowFunction.CHANNEL:
            return np.abs(self.requant.mult)
        return np.array([m for m in (self.a_mult, self.c_mult) if m])

    def round_by(self, rounding: int) -> None:
        """Of the result."""
        self.requant.rounding = rounding

    def take_table(self, table: NDArray[np.int8]) -> bool:
        """One behind an int8 result."""
        free = self.table_mode == RowTable.NONE and self.output.planes == 1
        if free:
            self.table_mode, self.table = RowTable.OUT8, table
        return free

    # --- where its operands lie -----------------------------------------------------------------------

    @property
    def pads_zero(self) -> bool:
        """By its definition."""
        return True

    def place(self, placer: Placer) -> None:
        """Channels in order from the first: what lies behind them is written as 0."""
        plain = grouped_map(self.output.c, self.groups, placer.block)
        for number, t in enumerate(self.inputs):
            if t.home is Home.ITEMS:
                continue
            if t.channel_map is None:
                t.channel_map = plain
            else:
                placer.read_as(self, number, plain)
        self.output.channel_map = plain

    # --- what it loads, and its packets ---------------------------------------------------------------

    @property
    def in_spans(self) -> bool:
        """Any pixels; a softmax of one head is too short to be cut."""
        return self.row_mode != RowMode.LESS

    def joins(self, leader: Op) -> bool:
        """Behind the records of a norm, span by span."""
        return leader.output is self.operand("rows") and leader.in_spans

    def parameters(self, cut: Cut, hw: HardwareConfig) -> list[Parameter]:
        """Records, then the table."""
        out = []
        if self.function == RowFunction.CHANNEL:
            size = len(self.output.known_map()) // self.groups
            out.append(channel_parameter(self.requant, self.output.known_map()[:size], hw))
        if self.table is not None:
            out.append(table_parameter(self.table, hw))
        return out

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One for each span of pixels, or one of all."""
        return [self._packet(cut, span, region, hw) for span in cut.spans or [(0, self.output.w)]]

    def _packet(
        self, cut: Cut, span: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> RelocatablePacket:
        out, (x0, x1), item = self.output, span, self.groups * ITEM_BYTES // hw.block
        blocks = out.blocks(hw.block) // self.groups
        where = region(out).pixel(x0, item_words=item).in_groups(blocks, self.groups)
        values = {
            "function": self.function,
            "h": self.groups,
            "m": x1 - x0,
            "blocks": blocks,
            "channels": out.c // self.groups,
            "a_zero": self.inputs[0].zero_point,
            **{name: getattr(self, name) for name in ("row_mode", "row_k", "a_mult", "c_mult", "c_shift", "shift")},
            "table_mode": self.table_mode,
            **matrix_fields("out", where),
            **requant_fields(self.requant, out),
        }
        for role, t in zip(self.roles, self.inputs, strict=True):
            r = region(t)
            if t.home is Home.ITEMS:
                values["row_base"] = r.base + x0 * item
                continue
            row = t.w == 1 and out.w > 1
            kind = OperandKind.ROW if row else OperandKind.TENSOR
            r = r.pixel(0 if row else x0).in_groups(blocks, self.groups)
            values |= matrix_fields(role, r, kind=None if role == "a" else kind)
            if role == "b":
                values["b_zero"] = t.zero_point
        if self.row_mode == RowMode.LESS and "maxima" not in self.roles:
            values["row_base"] = region(self.inputs[0]).pixel(x0, item_words=item).items
        if out.with_items:
            values |= {"reduce": 1, "reduce_base": where.items}
        relocations = {} if self.function != RowFunction.CHANNEL else {"param_base": cut.params.records[0]}
        if cut.params.table is not None:
            relocations["table_base"] = cut.params.table
        return RelocatablePacket("ROW", values, self.node, self.op_type, relocations=relocations)
