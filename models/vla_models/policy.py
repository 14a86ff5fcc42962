"""What every policy offers: its graphs for the device, its batches for training, its numpy code for the robot.

Not here: the policies (a folder each), their list (`registry.py`), how one is stored (`saved.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

__all__ = ["Arrays", "Batch", "GraphSpec", "Policy", "Preprocessor", "graph_paths", "history_of"]

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class GraphSpec:
    """One graph that is exported: a module, what goes in and comes out by name, and what is carried between calls.

    A plain policy has one graph. One that is iterated has one for the observation and one for a step; `carries` maps an
    output to the input that it becomes, `graph.input`, of another graph or of the next call. `metadata` makes what the
    exported model says beside its graph, from the names of its Conv nodes in order.
    """

    name: str
    module: torch.nn.Module
    example: Callable[..., dict[str, torch.Tensor]]  # (batch=1, seed=0): random inputs in the order of `forward`
    outputs: tuple[str, ...]  # in order
    carries: Mapping[str, str] = field(default_factory=dict)
    metadata: Callable[[Sequence[str]], Mapping[str, str]] = lambda convolutions: {}
    to_onnx: Callable[[], Any] | None = None  # the model, where torch's exporter does not make it all
    tolerance: float | None = None  # of its outputs against ONNX Runtime's, where it is not that of float32

    def inputs(self) -> dict[str, tuple[int, ...]]:
        """The inputs and their static shapes, with batch 1."""
        return {name: tuple(value.shape) for name, value in self.example().items()}


@dataclass(frozen=True)
class Batch:
    """What a step of training sees: the network's inputs by name, the wanted output, and which of it does not count."""

    inputs: Mapping[str, torch.Tensor]  # in the order of `forward`; N on axis 0
    target: torch.Tensor  # (N, ...)
    target_is_pad: torch.Tensor | None = None  # bool (N, steps): steps that lie behind the end of an episode
    progress: float = 1.0  # share of the training that is done, for what changes on the way


class Policy(Protocol):
    """An `nn.Module` with these besides; everything in `forward` runs on the device."""

    config: Any  # the frozen dataclass it was made from; `attention_blocks()` of tokens of several types is optional
    windows: Mapping[str, Sequence[int]]  # per key of a sample the steps it trains on, relative to a frame
    image_sides: Mapping[str, int]  # optional: images that are averaged to so many pixels, see `vla_datasets.shrink`
    tile: ClassVar[int]  # optional: pixels of the tiles whose numbers `prepare` takes, too

    def graphs(self) -> tuple[GraphSpec, ...]:
        """What is exported.

        Where `forward` returns something else than the graph's outputs, `training_outputs(*outputs)` makes it of them.
        A policy with gates has `circuits()` too: the same graphs without them, for a program with an entry point for
        each setting of the gates.
        """

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """A training batch from windows: the same numbers that the preprocessor makes of the same observations.

        Args:
            samples: `key` (N, steps, *shape) and `<key>_is_pad` (N, steps) as tensors, `task` as N sentences. Where a
                policy has a `tile`, and training caches them, an image is the numbers (N, steps, H / tile, W / tile) of
                `<key>_tiles` (T, tile, tile, 3).

        The graph's inputs come first; what the objective alone reads may follow.
        """


class Preprocessor(Protocol):
    """The robot's side of a policy, for one episode, with numpy alone: all code that is needed beside `prog.bin`.

    One that remembers its actions has `correct(action)` too: what was done instead of the last one. One of a policy of
    several graphs has `calls`: their names, in the order in which they run for one observation. One whose inputs choose
    a circuit has `entry(inputs)`: the entry point that has it, or None. One that sees several steps at once has
    `history`, how many: observations have them on a leading axis, oldest first. One that was made for so many actions a
    second has `frequency`.
    """

    @property
    def input_names(self) -> tuple[str, ...]:
        """What `inputs` makes."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """What `actions` reads."""

    def reset(self, task: str, seed: int = 0) -> None:
        """Forget the last episode; what is random in this one comes from the seed."""

    def inputs(self, observation: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
        """The network's inputs, each with batch 1, from what is observed now."""

    def actions(self, outputs: Arrays) -> npt.NDArray[Any]:
        """The actions to do one after another until the network is asked again: (steps, *shape of an action)."""


def graph_paths(path: Path, graphs: Sequence[GraphSpec]) -> list[Path]:
    """The file of each graph, where `path` is that of one; of several `m.onnx` stands for `m-<graph>.onnx`."""
    return [path if len(graphs) == 1 else path.with_stem(f"{path.stem}-{graph.name}") for graph in graphs]


def history_of(preprocessor: Preprocessor) -> int:
    """Steps that a policy sees at once."""
    return int(getattr(preprocessor, "history", 1))
