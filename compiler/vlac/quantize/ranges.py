"""Ranges of activations: run the float model on calibration samples and choose [lo, hi] for every tensor.

    minmax      everything that was seen (ONNX Runtime)
    percentile  all but the outermost values (ONNX Runtime)
    entropy     least Kullback-Leibler divergence to what was seen (ONNX Runtime; Migacz 2017)
    mse         least mean squared error of rounding and clipping (here)

Samples are taken one at a time, so memory does not grow with their number.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import (
    EntropyCalibrater,
    HistogramCalibrater,
    MinMaxCalibrater,
    PercentileCalibrater,
    TensorsData,
)

from vlac.errors import CalibrationError
from vlac.options import CompileOptions
from vlac.quantize.calibration import Samples

__all__ = ["least_error_range", "observe_ranges"]

_CANDIDATES, _LEVELS = 128, 255


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands out one sample."""

    def __init__(self, sample: dict[str, NDArray[np.float32]]) -> None:
        self._left: Iterator[dict[str, Any]] = iter([sample])

    def get_next(self) -> dict[str, Any] | None:
        """The sample, then None."""
        return next(self._left, None)


class _EntropyCalibrater(EntropyCalibrater):  # type: ignore[misc]
    """ONNX Runtime's, on histograms of a fixed size: its search takes the square of their length."""

    def compute_data(self) -> TensorsData:
        """A range per tensor."""
        known = self.collector.histogram_dict
        for name, (hist, edges, *rest) in known.items():
            known[name] = (*_merged(hist, edges, self.num_bins), *rest)
        return super().compute_data()


class _LeastErrorCalibrater(HistogramCalibrater):  # type: ignore[misc]
    """ONNX Runtime's histograms, and the range of least mean squared error from each."""

    def compute_data(self) -> TensorsData:
        """A range per tensor."""
        ranges = {
            name: tuple(
                np.float32(x) for x in least_error_range(*_merged(hist, edges, self.num_bins), float(low), float(high))
            )
            for name, (hist, edges, low, high, _) in self.collector.histogram_dict.items()
        }
        return TensorsData(CalibrationMethod.MinMax, ranges)


def observe_ranges(model: onnx.ModelProto, samples: Samples, op_types: list[str], options: CompileOptions) -> Any:
    """ONNX Runtime's TensorsData: (lowest, highest) by float tensor that an operator of `op_types` reads or makes.

    Raises:
        CalibrationError: the float model does not run on the samples.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path, augmented = Path(folder) / "float.onnx", str(Path(folder) / "augmented.onnx")
        onnx.save(model, path)
        try:
            calibrator = _calibrator(path, augmented, op_types, options)
            for sample in samples:
                calibrator.collect_data(_Reader(sample))
        except Exception as e:  # ONNX Runtime raises its own classes, without a common base
            raise CalibrationError(f"the float model does not run on the calibration data: {e}") from e
        return calibrator.compute_data()


def _calibrator(path: Path, augmented: str, op_types: list[str], options: CompileOptions) -> Any:
    if options.calibration_method == "minmax":
        found = MinMaxCalibrater(path, op_types, augmented)
    elif options.calibration_method == "percentile":
        found = PercentileCalibrater(path, op_types, augmented, percentile=options.percentile)
    elif options.calibration_method == "entropy":
        found = _EntropyCalibrater(path, op_types, augmented, num_bins=512, num_quantized_bins=128)
    else:
        found = _LeastErrorCalibrater(path, op_types, augmented, method="distribution", num_bins=2048)
    found.augment_graph()
    found.create_inference_session()
    return found


def _merged(hist: NDArray[Any], edges: NDArray[Any], bins: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """A histogram around 0 with at most `bins` bins, neighbours added up; samples of growing range make it longer."""
    factor = -(-len(hist) // bins)
    missing = -len(hist) % (2 * factor)
    width = edges[1] - edges[0]
    hist = np.pad(hist, missing // 2).reshape(-1, factor).sum(axis=1)
    edge = edges[-1] + missing // 2 * width
    return hist, np.linspace(-edge, edge, len(hist) + 1, dtype=edges.dtype)


def least_error_range(hist: NDArray[Any], edges: NDArray[Any], low: float, high: float) -> tuple[float, float]:
    """The range with 0 inside it, of 128 x 128 candidates, whose int8 rounding and clipping errs least.

    A value inside errs by step^2 / 12 on average (zero itself by nothing), one outside by its distance squared.

    Args:
        hist, edges: counts [n] and bin edges [n + 1]; zero is the middle edge or lies in the middle bin.
        low, high: extremes of what was counted.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    centres = (edges[:-1].astype(np.float64) + edges[1:]) / 2
    inside = (np.abs(centres) > (edges[1] - edges[0])) * hist.astype(np.float64)
    shares = np.arange(1, _CANDIDATES + 1) / _CANDIDATES
    lows, highs = (low * shares if low else np.zeros(1)), (high * shares if high else np.zeros(1))
    below = np.maximum(lows[:, None] - centres, 0.0)
    above = np.maximum(centres - highs[:, None], 0.0)
    clipped = (below**2 @ inside)[:, None] + (above**2 @ inside)[None, :]
    rounded = inside.sum() - ((below > 0) @ inside)[:, None] - ((above > 0) @ inside)[None, :]
    step = (highs[None, :] - lows[:, None]) / _LEVELS
    row, column = np.unravel_index(np.argmin(clipped + rounded * step**2 / 12), step.shape)
    return float(lows[row]), float(highs[column])
