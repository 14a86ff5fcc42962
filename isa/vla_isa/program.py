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
from vla_isa.signature import Signature, Value, plain_signature
from vla_isa.tasks import Tasks

__all__ = ["MAX_SCALE", "Carried", "IoTensor", "MapEntry", "Program", "Segment", "SourceEntry"]


MAX_SCALE = 2.0**62  # of a tensor


@dataclass(frozen=True)
class Segment:
    """Bytes that the loader writes into the data space at `line` (64-byte lines)."""

    line: int
    data: bytes


@dataclass(frozen=True)
class IoTensor:
    """An input or output of the device: where it lies in the data space and what its integers mean.

    real = (q - zero_point) * scale. What the model makes of it is in the program's signature.
    """

    name: str
    layout: TensorLayout
    line: int
    scale: float
    zero_point: int


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


@dataclass(frozen=True)
class Carried:
    """State that a run leaves for the next one: an input that lies in the data space where an output does.

    Attributes:
        model_input, model_output: their names in the model.
        given, made: their names on the device.
    """

    model_input: str
    model_output: str
    given: str
    made: str


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
        inputs, outputs: the device's.
        signature: the model's, and what the host computes between; without one they are the device's in float32.
        tasks: what the entry points of tasks are made of, for uniting them.
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
    signature: Signature | None = None
    tasks: Tasks | None = None

    @property
    def model(self) -> Signature:
        """The signature, or the plain one of the device's inputs and outputs."""
        if self.signature is not None:
            return self.signature
        return plain_signature(*([(t.name, t.layout) for t in tensors] for tensors in (self.inputs, self.outputs)))

    @property
    def carried(self) -> list[Carried]:
        """The inputs that lie where an output does."""
        model, found = self.model, []
        places = {t.line: number for number, t in enumerate(self.outputs)}
        results = {tuple(model.device_outputs(o.source)): o.name for o in model.outputs}
        for given, source in zip(self.inputs, model.feeds, strict=True):
            made = places.get(given.line)
            if made is not None and source < len(model.inputs) and (made,) in results:
                names = model.inputs[source].name, results[(made,)]
                found.append(Carried(*names, given.name, self.outputs[made].name))
        return found

    @property
    def model_inputs(self) -> list[Value]:
        """The model's inputs."""
        return self.model.inputs

    @property
    def model_outputs(self) -> list[Value]:
        """The model's outputs."""
        return self.model.output_values
