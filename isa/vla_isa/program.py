"""A program: everything a backend needs, in memory. The file form is `image.py`.

Data space: the instruction heap is at line 0 (64 KB, 1024 packets; longer programs continue by JUMP
in another heap segment); constants, inputs, outputs and spills follow where the compiler put them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vla_isa.layout import TensorLayout

__all__ = ["FINISHES", "Finish", "IoTensor", "MapEntry", "Program", "Segment", "SourceEntry"]


FINISHES = ("Softmax", "LogSoftmax", "ArgMax", "ArgMin", "Quantize", "Reshape")


@dataclass(frozen=True)
class Segment:
    """Bytes that the loader writes into the data space at `line` (64-byte lines)."""

    line: int
    data: bytes


@dataclass(frozen=True)
class Finish:
    """A step that the host does on the real numbers of an output, because the machine has no instruction for it.

    Attributes:
        function: one of FINISHES. The first four work along `axis`; Quantize rounds to `scale` and `zero_point`
            as QuantizeLinear and DequantizeLinear do.
        last: 1 where ArgMax and ArgMin take the last of equal values.
        shape: the ONNX shape of the result.
    """

    function: str
    shape: tuple[int, ...]
    axis: int = 0
    last: int = 0
    scale: float = 1.0
    zero_point: int = 0


@dataclass(frozen=True)
class IoTensor:
    """An input or output: where it lies in the data space and what its integers mean.

    real = (q - zero_point) * scale; of an output `finish` follows. `onnx_dtype` is the dtype of the ONNX value
    ("float32", ...).
    """

    name: str
    layout: TensorLayout
    line: int
    scale: float
    zero_point: int
    onnx_dtype: str = "float32"
    finish: tuple[Finish, ...] = ()


@dataclass(frozen=True)
class MapEntry:
    """One line of the memory map: `space` is a name of `footprint.SPACES`; sizes in its unit."""

    name: str
    space: str
    start: int
    size: int
    first_packet: int
    last_packet: int


@dataclass(frozen=True)
class SourceEntry:
    """Which ONNX node `packet` belongs to, its operator, and the multiply-accumulates it counts for."""

    packet: int
    node: str
    op: str
    macs: int


@dataclass
class Program:
    """A compiled program.

    Attributes:
        config: the whole hardware config it was compiled for.
        heaps: instruction segments; the first is at line 0. Packet numbers count through them in order.
        constants: parameters, tables, masks.
        weights: the weight space, int8 [words, B*B].
        data_bytes: size of the data space it needs.
        entries: entry point name -> packet number.
        inputs, outputs: in the model's order.
        memory_map, sources, manifest: for people and tools; never needed to run.
        onnx: the ONNX model it was made from, where it was embedded; only the reference backend reads it.
    """

    config: HardwareConfig
    heaps: list[Segment]
    constants: list[Segment]
    weights: NDArray[np.int8]
    data_bytes: int
    entries: dict[str, int]
    inputs: list[IoTensor]
    outputs: list[IoTensor]
    memory_map: list[MapEntry] = field(default_factory=list)
    sources: list[SourceEntry] = field(default_factory=list)
    manifest: dict[str, Any] = field(default_factory=dict)
    onnx: bytes = b""
