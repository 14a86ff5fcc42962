"""Calibration samples of every round of a repeated model: given are those of the first one.

What is carried into the others is what the float model makes of the round before. Not here: how samples are read.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vlac.errors import CalibrationError
from vlac.model.carried import carried_values, repeat_of
from vlac.model.onnx_runtime import OnnxRuntimeError
from vlac.model.reading import dtype_of, shape_of
from vlac.quantize.calibration import Samples
from vlac.quantize.float_session import FloatSession

__all__ = ["all_rounds"]


def all_rounds(model: ir.Model, samples: Samples) -> Samples:
    """The samples themselves where the model runs once.

    Raises:
        CalibrationError: the float model does not run on them.
    """
    repeat, pairs = repeat_of(model), carried_values(model)
    if repeat.count == 1:
        return samples
    counter = repeat.counter
    found: Samples = []
    try:
        session = FloatSession(model, [made.name or "" for _, made in pairs])
        for sample in samples:
            for number in range(repeat.count):
                if counter is not None:
                    value = np.full(shape_of(counter), number, dtype_of(counter))
                    sample = {**sample, counter.name or "": value}
                found.append(sample)
                made = session.run(sample)
                sample = {**sample, **{v.name or "": a for (v, _), a in zip(pairs, made, strict=True)}}
    except OnnxRuntimeError as e:
        raise CalibrationError(f"the float model does not run on the calibration data: {e}") from e
    return found
