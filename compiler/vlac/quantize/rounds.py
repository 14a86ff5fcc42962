"""Calibration samples of every round of a repeated model: given are those of the first one.

What is carried into the others is what the float model makes of the round before. Whoever chooses something from the
values of the model as it is here watches these runs, as each takes long. Not here: how samples are read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.errors import CalibrationError
from vlac.model.carried import carried_values, repeat_of
from vlac.model.onnx_runtime import OnnxRuntimeError
from vlac.model.reading import dtype_of, shape_of
from vlac.quantize.calibration import Samples
from vlac.quantize.float_session import FloatSession

__all__ = ["Watcher", "all_rounds"]


class Watcher(Protocol):
    """Wants to see values of the float model."""

    @property
    def names(self) -> Collection[str]:
        """Of the values; inputs of the model are there anyway."""

    @property
    def most(self) -> int | None:
        """So many runs, the first ones; None for all."""

    def see(self, values: Mapping[str, NDArray[Any]]) -> None:
        """What they are in one run."""


def all_rounds(model: ir.Model, samples: Samples, watchers: Sequence[Watcher] = ()) -> Samples:
    """The samples themselves where the model runs once.

    Raises:
        CalibrationError: the float model does not run on them.
    """
    repeat, asking = repeat_of(model), [w for w in watchers if w.names]
    if repeat.count == 1 and not asking:
        return samples
    pairs, counter = carried_values(model) if repeat.count > 1 else [], repeat.counter
    wanted = {made.name or "" for _, made in pairs} | {name for w in asking for name in w.names}
    names = sorted(wanted - {v.name or "" for v in model.graph.inputs})
    found: Samples = []
    try:
        session = FloatSession(model, names) if names else None
        for sample in samples:
            for number in range(repeat.count):
                if counter is not None:
                    value = np.full(shape_of(counter), number, dtype_of(counter))
                    sample = {**sample, counter.name or "": value}
                found.append(sample)
                watching = [w for w in asking if w.most is None or len(found) <= w.most]
                if not pairs and not watching:
                    continue
                made = session.run(sample) if session is not None else []
                values = {**sample, **dict(zip(names, made, strict=True))}
                for watcher in watching:
                    watcher.see(values)
                sample = {**sample, **{v.name or "": values[new.name or ""] for v, new in pairs}}
    except OnnxRuntimeError as e:
        raise CalibrationError(f"the float model does not run on the calibration data: {e}") from e
    return found
