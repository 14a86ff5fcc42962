"""A program: everything a backend needs, in memory. The file form is `image.py`.

Data space: the instruction heap is at line 0 (64 KB, 1024 packets; longer programs continue by JUMP
in another heap segment); constants, inputs, outputs and spills follow where the compiler put them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import ProgramError, did_you_mean
from vla_isa.hardware import HardwareConfig
from vla_isa.layout import TensorLayout
from vla_isa.signature import Signature, Value, plain_signature
from vla_isa.tasks import DENSE, MAX_NAME, Tasks, live_shares, task_image, united

__all__ = ["MAX_SCALE", "Carried", "Interface", "IoTensor", "MapEntry", "Program", "Segment", "SourceEntry"]


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
        line: where both lie.
        entry: the entry point whose graph makes it, where that is another one's.
    """

    model_input: str
    model_output: str
    given: str
    made: str
    line: int = 0
    entry: str | None = None


@dataclass(frozen=True)
class Interface:
    """What an entry point takes and makes: tensors of the device, and the signature of its model; see `Program`."""

    inputs: list[IoTensor]
    outputs: list[IoTensor]
    signature: Signature | None = None

    @property
    def model(self) -> Signature:
        """The signature, or the plain one of the device's inputs and outputs."""
        if self.signature is not None:
            return self.signature
        return plain_signature(*([(t.name, t.layout) for t in tensors] for tensors in (self.inputs, self.outputs)))


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
        inputs, outputs: the device's; of the first entry point, where the program is of several graphs.
        signature: the model's, and what the host computes between; without one they are the device's in float32.
        others: of a program of several graphs, entry point name -> what every entry point but the first takes and
            makes. An input that lies where an output of any of them does is carried state.
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
    others: dict[str, Interface] = field(default_factory=dict)
    tasks: Tasks | None = None

    @property
    def policies(self) -> dict[str, str]:
        """Entry point name -> digest of the weights of the policy that it is of, where the compiler was told."""
        said = self.manifest.get("policies")
        return {name: str(digest) for name, digest in said.items()} if isinstance(said, dict) else {}

    @property
    def interface(self) -> Interface:
        """What the first entry point takes and makes."""
        return Interface(self.inputs, self.outputs, self.signature)

    def at(self, entry: str | None) -> Program:
        """The same program with another entry point as the first, and with what that takes and makes.

        Of tasks also `a+b`: what is live in any of them is, with the weights of all.

        Raises:
            ProgramError: there is no such entry point.
        """
        if entry is not None and entry not in self.entries and self.tasks is not None:
            return self._united(entry, self.tasks)
        if entry is not None and entry not in self.entries:
            raise ProgramError(f"the program has no entry point '{entry}'; it has {', '.join(self.entries)}")
        first = next(iter(self.entries), None)
        if entry is None or entry == first or first is None:
            return self
        mine = self.others.get(entry, self.interface)
        others = {first: self.interface, **self.others} if self.others else {}
        others.pop(entry, None)
        entries = {entry: self.entries[entry], **{n: at for n, at in self.entries.items() if n != entry}}
        return replace(
            self,
            entries=entries,
            inputs=mine.inputs,
            outputs=mine.outputs,
            signature=mine.signature,
            others={name: others[name] for name in entries if name in others},
        )

    def _united(self, entry: str, tasks: Tasks) -> Program:
        """The program whose one entry point is several tasks united."""
        count = entry.count("+") + 1
        if count > len(tasks.lines):
            raise ProgramError(
                f"'{entry[:MAX_NAME]}' unites {count} tasks; the program has {len(tasks.lines)}, name each once"
            )
        names = list(dict.fromkeys(entry.split("+")))
        for name in names:
            if name not in tasks.lines:
                known = ", ".join(self.entries)
                raise ProgramError(
                    f"the program has no task '{name[:MAX_NAME]}'; it has {known}, and any of them joined by '+'."
                    f"{did_you_mean(name, tasks.lines)}"
                )
        if DENSE in names:
            return replace(self, entries={entry: self.entries[DENSE]}, tasks=None)
        live = united(tasks.convs, {name: tasks.live[name] for name in names})
        dense = next(s.data for s in self.constants if s.line == tasks.lines[DENSE])
        words = np.frombuffer(dense, np.uint8).reshape(tasks.words, -1)
        image = task_image(words, self.weights, tasks.convs, live, self.config).tobytes()
        shares = live_shares(tasks, live, self.weights)
        line, others = tasks.lines[DENSE], min(at for name, at in self.entries.items() if name != DENSE)
        mine = [s for s in self.sources if s.packet < others]
        return replace(
            self,
            entries={entry: self.entries[DENSE]},
            constants=[Segment(s.line, image) if s.line == line else s for s in self.constants],
            sources=[replace(s, macs=round(s.macs * shares.get(number, 1.0))) for number, s in enumerate(mine)],
            tasks=None,
        )

    @property
    def model(self) -> Signature:
        """The signature, or the plain one of the device's inputs and outputs."""
        return self.interface.model

    @property
    def carried(self) -> list[Carried]:
        """The inputs that lie where an output does, of the same graph or of another one."""
        model, found = self.model, []
        places: dict[int, tuple[str, str, str | None]] = {}
        for entry, each in ((None, self.interface), *self.others.items()):
            results = {tuple(each.model.device_outputs(o.source)): o.name for o in each.model.outputs}
            for number, t in enumerate(each.outputs):
                if (number,) in results:
                    places.setdefault(t.line, (results[(number,)], t.name, entry))
        for given, source in zip(self.inputs, model.feeds, strict=True):
            if given.line in places and source < len(model.inputs):
                name, made, entry = places[given.line]
                found.append(Carried(model.inputs[source].name, name, given.name, made, given.line, entry))
        return found

    @property
    def model_inputs(self) -> list[Value]:
        """The model's inputs."""
        return self.model.inputs

    @property
    def model_outputs(self) -> list[Value]:
        """The model's outputs."""
        return self.model.output_values
