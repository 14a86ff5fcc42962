"""The data space: heap, parameters, constants, inputs, outputs and streamed tensors, in 64-byte lines.

Every tensor starts on a 4 KB line, so that rows spread over the data channels. Not here: the weight space,
which is only the layers' words one after another.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import HEAP_BYTES, LINE_BYTES
from vla_isa.layout import TensorLayout, pack
from vla_isa.program import IoTensor, MapEntry, Segment
from vlac.errors import UnsupportedError
from vlac.ir.geometry import is_image
from vlac.ir.graph import Graph, GraphOutput
from vlac.ir.operation import ITEM_BYTES, Home, Tensor
from vlac.ir.packet import Region
from vlac.plan.plan import Plan

__all__ = ["DataRegion", "DataSpace", "layout_of", "place_data"]

_ALIGN = 4096 // LINE_BYTES


@dataclass(frozen=True)
class DataRegion:
    """Lines of a tensor: first one, steps between rows and planes; w words per row and plane, `planes` per block."""

    line: int
    row_stride: int
    plane_stride: int
    w: int
    blocks: int
    planes: int


@dataclass
class DataSpace:
    """Where everything lies in the data space.

    `sources` are tensors to load from (inputs, constants, streamed), `stores` where a result must be written, `tables`
    what is read row by row: the first line, and lines between rows; `spilled` the first line of computed weights.
    """

    lines: int = HEAP_BYTES // LINE_BYTES
    sources: dict[Tensor, DataRegion] = field(default_factory=dict)
    stores: dict[Tensor, list[DataRegion]] = field(default_factory=dict)
    tables: dict[Tensor, tuple[int, int]] = field(default_factory=dict)
    spilled: dict[Tensor, int] = field(default_factory=dict)
    constants: list[Segment] = field(default_factory=list)
    inputs: list[IoTensor] = field(default_factory=list)
    outputs: list[IoTensor] = field(default_factory=list)
    memory_map: list[MapEntry] = field(default_factory=list)

    def region(self, tensor: Tensor, block: int) -> Region:
        """Where a tensor of the data space lies, in lines; `pitch` is between planes, or output blocks of weights."""
        if tensor.parent is not None:
            whole, (lines, within) = self.region(tensor.parent, block), divmod(tensor.pixel * block, LINE_BYTES)
            assert not within or tensor.home is Home.SPILLED, f"'{tensor.label}' begins within a line"
            if tensor.home is Home.SPILLED:
                word = block * block // LINE_BYTES
                return replace(whole, base=whole.base + word * (tensor.pixel // block * whole.pitch + tensor.offset))
            return replace(whole, base=whole.base + lines)
        if tensor in self.spilled:
            return Region(self.spilled[tensor], 0, tensor.blocks(block), 1)
        found = self.stores[tensor][0] if tensor in self.stores else self.sources[tensor]
        return Region(found.line, found.row_stride, found.plane_stride, 1, found.planes)

    @property
    def bytes(self) -> int:
        """The size of it all, in whole pages."""
        return -(-self.lines // _ALIGN) * _ALIGN * LINE_BYTES

    def copy(self) -> DataSpace:
        """One that grows by itself."""
        return replace(self, constants=list(self.constants), memory_map=list(self.memory_map))

    def take(self, lines: int, name: str) -> int:
        """Reserve lines; returns the first."""
        start = -(-self.lines // _ALIGN) * _ALIGN
        self.lines = start + lines
        self.memory_map.append(MapEntry(name, "data", start, lines, 0, 0))
        return start

    def add_constant(self, data: NDArray[np.int8] | NDArray[np.uint8], name: str) -> int:
        """Reserve lines for bytes that the loader writes; returns the first."""
        raw = data.tobytes()
        raw += bytes(-len(raw) % LINE_BYTES)
        line = self.take(len(raw) // LINE_BYTES, name)
        self.constants.append(Segment(line, raw))
        return line


def layout_of(
    tensor: Tensor,
    shape: tuple[int, ...],
    block: int,
    moved: tuple[tuple[int, ...], tuple[int, ...]] | None = None,
) -> TensorLayout:
    """How a tensor whose channels are in ascending order lies in the data space, seen with an ONNX shape.

    `moved` is another (view, permutation) than the shape's. Vectors of single bytes are one row of words side by side;
    those of more bytes lie as any tensor does, plane after plane.
    """
    if tensor.home is Home.ITEMS:  # 16 bytes a pixel, as words
        pixels = tensor.w * ITEM_BYTES // block
        return TensorLayout(shape, (pixels, block), (0, 1), 1, pixels, block, block)
    channel_map = tensor.known_map()
    planes = tensor.stored.planes
    if tensor.is_vector and moved is None and planes == 1:
        words = channel_map.reshape(-1, block)
        per_word = int((words[0] >= 0).sum())
        expected = np.full_like(words, -1)
        expected[:, :per_word] = np.arange(words.shape[0] * per_word).reshape(-1, per_word)
        if per_word and np.array_equal(words, expected):
            return TensorLayout(shape, (len(words), per_word), (0, 1), 1, len(words), per_word, block)
    positions = np.flatnonzero(channel_map >= 0)
    cuts = np.flatnonzero(np.diff(positions) > 1) + 1
    runs = tuple((int(r[0]), len(r)) for r in np.split(positions, cuts))
    h, w, c = tensor.h, tensor.w, tensor.c
    image = is_image(tensor.shape)
    view, order = moved or (((c, h, w), (1, 2, 0)) if image else ((w, c), (0, 1)))
    return TensorLayout(shape, view, order, h, w, c, block, runs if runs != ((0, c),) else (), planes)


def _region(line: int, layout: TensorLayout) -> DataRegion:
    row = layout.blocks * layout.planes * layout.row_lines
    return DataRegion(line, row, layout.row_lines, layout.w, layout.blocks, layout.planes)


def place_data(graph: Graph, plan: Plan, block: int) -> DataSpace:
    """Give inputs, outputs, constants and streamed tensors their lines."""
    space = DataSpace()
    for tensor in graph.inputs:
        _place_input(graph, space, tensor, block)
    for tensor in dict.fromkeys(t for op in graph.ops for t in op.inputs if t.constant is not None):
        assert tensor.constant is not None
        if tensor.home is Home.TABLE:
            space.tables[tensor] = _place_table(space, tensor, block)
            continue
        layout, channel_map = layout_of(tensor, tensor.shape, block), tensor.known_map()
        ordered = channel_map[channel_map >= 0]
        values = tensor.from_hwc(tensor.to_hwc(tensor.constant)[:, :, ordered])
        space.sources[tensor] = _region(space.add_constant(pack(values, layout), tensor.label), layout)
    carried = _carried(graph, space)
    for out in graph.outputs:
        _place_output(graph, space, out, block, carried.get(out.name))
    for tensor in dict.fromkeys(t.root for op in graph.ops for t in (*op.inputs, op.output) if not t.home.on_chip):
        if tensor.home is Home.SPILLED:
            words = tensor.row_words(block)
            space.spilled[tensor] = space.take(words * block * block // LINE_BYTES, tensor.label)
        elif tensor.home is Home.DATA and tensor not in space.stores and tensor not in space.sources:
            layout = _padded_layout(tensor, block)
            space.stores[tensor] = [_region(space.take(layout.lines, tensor.label), layout)]
    for root in graph.tensors:  # in this order, as a set has another one in each run
        if root in plan.streamed and root not in space.sources:
            stored = space.stores.get(root)
            if stored:
                space.sources[root] = stored[0]
            else:
                layout = _padded_layout(root, block)
                home = _region(space.take(layout.lines, root.label), layout)
                space.sources[root] = home
                space.stores[root] = [home]
    _place_parts(graph, plan, space, block)
    return space


def _place_table(space: DataSpace, tensor: Tensor, block: int) -> tuple[int, int]:
    """The first line of a table, and the lines of a row, whose padding is 0."""
    assert tensor.constant is not None
    rows, blocks, planes = tensor.w, tensor.blocks(block), tensor.planes
    padded = np.zeros((rows, blocks * block), tensor.stored.dtype)
    padded[:, : tensor.c] = tensor.constant.reshape(rows, tensor.c)
    planar = padded.reshape(rows, blocks, block, 1).view(np.int8).transpose(0, 1, 3, 2).reshape(rows, -1)
    lines = -(-planar.shape[1] // LINE_BYTES)
    out = np.zeros((rows, lines * LINE_BYTES), np.int8)
    out[:, : blocks * planes * block] = planar
    return space.add_constant(out, tensor.label), lines


def _place_input(graph: Graph, space: DataSpace, tensor: Tensor, block: int) -> None:
    name, _ = graph.input_labels[tensor]
    if tensor in graph.input_layouts:
        shape, view, order = graph.input_layouts[tensor]
        planes = tensor.stored.planes
        layout = TensorLayout(shape, view, order, tensor.h, tensor.w, tensor.c, block, (), planes)
    else:
        image = next((op.output for op in tensor.consumers if op.view_of is tensor and tensor.is_vector), tensor)
        layout = layout_of(image, tensor.shape, block)
    line = space.take(layout.lines, name)
    space.inputs.append(IoTensor(name, layout, line, tensor.scale, tensor.zero_point))
    region = _region(line, layout)
    if tensor.is_vector and layout.h > 1:  # an image inside the vector: its rows are words of the vector
        image = next(op.output for op in tensor.consumers if op.view_of is tensor)
        space.sources[image] = region
    else:
        space.sources[tensor] = region


def _carried(graph: Graph, space: DataSpace) -> dict[str, IoTensor]:
    """The input whose place each carried output takes.

    Raises:
        UnsupportedError: the device does not take, or does not make, a carried tensor as it is.
    """
    found: dict[str, IoTensor] = {}
    signature = graph.signature
    for name, result in graph.carried.items():
        assert signature is not None
        number = next((i for i, v in enumerate(signature.inputs) if v.name == name), -1)
        taken = [io for t, io in zip(graph.inputs, space.inputs, strict=True) if graph.input_labels[t][1] == number]
        if len(taken) != 1 or result not in [o.name for o in graph.outputs]:
            why = "the host computes with one of them" if len(taken) < 2 else f"the device takes it {len(taken)} times"
            raise UnsupportedError([f"state '{name}' = '{result}' cannot stay in the data space: {why}"])
        found[result] = taken[0]
    return found


def _place_output(graph: Graph, space: DataSpace, out: GraphOutput, block: int, place: IoTensor | None = None) -> None:
    """Give an output lines of its own, or those of the input that it is in the next run."""
    made = out.tensor.producer
    tensor = (made.view_of if made is not None else None) or out.tensor
    layout = layout_of(tensor, out.shape, block, out.layout)
    if place is not None:
        mine, others = (layout, tensor.scale, tensor.zero_point), (place.layout, place.scale, place.zero_point)
        if mine != others:
            text = (
                "the machine reads it in another order, or with another scale, than it writes it; carry it by the "
                "host: compile without --carry, and give each run what the one before returned"
            )
            raise UnsupportedError([f"state '{place.name}' = '{out.name}' cannot stay in the data space: {text}"])
    line = space.take(layout.lines, out.name) if place is None else place.line
    space.outputs.append(IoTensor(out.name, layout, line, tensor.scale, tensor.zero_point))
    space.stores.setdefault(tensor, []).append(_region(line, layout))


def _padded_layout(root: Tensor, block: int) -> TensorLayout:
    """A layout of all channel positions, padding included: only the device reads it."""
    c = len(root.known_map())
    planes = root.stored.planes
    return TensorLayout((1, c, root.h, root.w), (c, root.h, root.w), (1, 2, 0), root.h, root.w, c, block, (), planes)


def _place_parts(graph: Graph, plan: Plan, space: DataSpace, block: int) -> None:
    """Parts of streamed tensors are loaded from and stored to slices of them, and of outputs that they lie in."""
    placed = {tensor: list(regions) for tensor, regions in space.stores.items()}
    for tensor in graph.tensors:
        if tensor.root not in plan.streamed or tensor.parent is None:
            continue
        offset, whole, targets = 0, tensor, space.stores.setdefault(tensor, [])
        while whole.parent is not None:
            offset, whole = offset + whole.offset, whole.parent
            targets += [_slice(region, offset, tensor.blocks(block)) for region in placed.get(whole, [])]
        space.sources[tensor] = _slice(space.sources[tensor.root], offset, tensor.blocks(block))


def _slice(whole: DataRegion, offset: int, blocks: int) -> DataRegion:
    """Some channel blocks of a region."""
    return replace(whole, line=whole.line + offset * whole.planes * whole.plane_stride, blocks=blocks)
