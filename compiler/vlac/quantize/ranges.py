"""Ranges of activations: run the float model on calibration samples and choose [lo, hi] for every tensor.

    minmax      everything that was seen
    percentile  all but the outermost values (ONNX Runtime)
    entropy     least Kullback-Leibler divergence to what was seen (ONNX Runtime; Migacz 2017)
    mse         least mean squared error of rounding and clipping (here)

Samples are taken one at a time, so memory does not grow with their number. Not here: ranges that calibration must
not decide (`known_ranges.py`).
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import HistogramCollector

from vlac.errors import CalibrationError
from vlac.import_onnx.names import unique_name
from vlac.model.onnx_runtime import OnnxRuntimeError
from vlac.options import CompileOptions
from vlac.quantize.calibration import Samples
from vlac.quantize.float_session import FloatSession
from vlac.quantize.insert_qdq import Range
from vlac.quantize.known_ranges import Levels, Winners, competing, levels

__all__ = ["least_error_range", "merged_histogram", "observe_ranges"]

_CANDIDATES, _LEVELS = 128, 255
_BINS = {"percentile": 2048, "entropy": 512, "mse": 2048}
_LONGEST = 64  # times as many, while samples grow


def observe_ranges(
    model: ir.Model,
    values: Collection[ir.Value],
    parts: Sequence[Samples],
    options: CompileOptions,
    variants: Sequence[ir.Model] = (),
    chosen: Callable[[Mapping[str, NDArray[Any]]], int] | None = None,
) -> list[tuple[dict[str, Range], Winners]]:
    """By name of each value the range of method `options.calibration_method`; and of values that a mask went into,
    where those lie that can win (`known_ranges`). Once for each part of the samples, with those of the parts before.
    `variants` are models with values of the same names, which see the samples as well. Where `chosen` says the number
    of the variant that a sample is for, that one alone sees it; a variant that no sample is for sees all of them.

    Raises:
        CalibrationError: the float model does not run on the samples.
    """
    names = [v.name or "" for v in values]
    if not names:
        return [({}, {}) for _ in parts]
    compared = {v.name or "": largest for v, largest in competing(model, values).items()}
    whole = names if options.calibration_method != "minmax" else list(compared)
    seen, results = _Seen(options, compared), []
    try:
        probes = [_with_extremes(m, names) for m in (model, *variants)]
        sessions = [FloatSession(probe, [*extremes, *whole]) for probe, extremes in probes]
        for samples in parts:
            for session, sample in _pairs(sessions, samples, chosen):
                found = session.run(sample)
                seen.extremes(names, found[: 2 * len(names)])
                seen.arrays(dict(zip(whole, found[2 * len(names) :], strict=True)))
            results.append((seen.ranges(), seen.winners()))
    except (OnnxRuntimeError, ValueError) as e:  # ValueError: no histogram of values that are not finite
        raise CalibrationError(f"the float model does not run on the calibration data: {e}") from e
    return results


def _pairs(
    sessions: Sequence[FloatSession], samples: Samples, chosen: Callable[[Mapping[str, NDArray[Any]]], int] | None
) -> Iterable[tuple[FloatSession, Mapping[str, NDArray[Any]]]]:
    """Which sessions see which samples; the first is the model itself, those behind it are variants."""
    if chosen is None:
        return product(sessions, samples)
    numbers = [chosen(sample) for sample in samples]
    alone = [pair for n, session in enumerate(sessions[1:]) if n not in numbers for pair in product([session], samples)]
    return [*((sessions[1 + n], sample) for n, sample in zip(numbers, samples, strict=True)), *alone]


def _with_extremes(model: ir.Model, names: Collection[str]) -> tuple[ir.Model, list[str]]:
    """A copy with the least and the largest of each value, and their names: nothing large has to be kept for them."""
    probe = model.clone()
    graph = probe.graph
    known = {v.name or "": v for v in graph.inputs} | {v.name or "": v for node in graph for v in node.outputs}
    added: list[str] = []
    for name in names:
        for kind in ("ReduceMin", "ReduceMax"):
            node = ir.node(kind, [known[name]], {"keepdims": 0})
            node.outputs[0].name, node.outputs[0].dtype = unique_name(graph, f"{name}.{kind}"), ir.DataType.FLOAT
            producer = known[name].producer()
            if producer is None:
                graph.append(node)
            else:
                graph.insert_after(producer, node)
            added.append(node.outputs[0].name)
    return probe, added


class _Seen:
    """What the samples showed so far."""

    def __init__(self, options: CompileOptions, compared: dict[str, bool]) -> None:
        self._options, self._compared = options, compared
        self._ranges: dict[str, Range] = {}
        self._levels: dict[str, tuple[Levels, bool]] = {}
        self._collector: Any = None
        if options.calibration_method != "minmax":
            method = "distribution" if options.calibration_method == "mse" else options.calibration_method
            bins = _BINS[options.calibration_method]
            self._collector = HistogramCollector(method, False, bins, 128, options.percentile, "same")

    def extremes(self, names: Collection[str], found: list[NDArray[np.float32]]) -> None:
        for name, low, high in zip(names, found[::2], found[1::2], strict=True):
            before = self._ranges.get(name, (float(low), float(high)))
            self._ranges[name] = float(np.minimum(before[0], low)), float(np.maximum(before[1], high))

    def arrays(self, found: dict[str, NDArray[np.float32]]) -> None:
        for name in self._compared:
            here, gap = levels(found[name], self._compared[name])
            before = self._levels.get(name, (here, gap))
            self._levels[name] = before[0].joined(here), before[1] or gap
        if self._collector is not None:
            for name, array in found.items():
                self._coarsen(name, array)
            with contextlib.redirect_stdout(io.StringIO()):
                self._collector.collect({name: [array] for name, array in found.items()})

    def _coarsen(self, name: str, array: NDArray[np.float32]) -> None:
        """Count again in wider bins where `array` is so much larger that bins as before would not fit into memory."""
        known, bins = self._collector.histogram_dict, _BINS[self._options.calibration_method]
        if name not in known:
            return
        hist, edges, low, high, _ = known[name]
        size = np.abs(array).max(initial=0)
        if _LONGEST * bins * (edges[1] - edges[0]) < 2 * size < np.inf:
            counts, places = np.histogram((edges[:-1] + edges[1:]) / 2, bins, (-size, size), weights=hist)
            known[name] = counts.astype(hist.dtype), places, low, high, size

    def winners(self) -> Winners:
        return {name: (found, self._compared[name]) for name, (found, gap) in self._levels.items() if gap}

    def ranges(self) -> dict[str, Range]:
        if self._collector is None:
            return dict(self._ranges)
        collector = copy.deepcopy(self._collector)  # it goes on collecting
        known, bins = collector.histogram_dict, _BINS[self._options.calibration_method]
        if self._options.calibration_method == "mse":
            return {
                name: least_error_range(*merged_histogram(hist, edges, bins), float(low), float(high))
                for name, (hist, edges, low, high, _) in known.items()
            }
        if self._options.calibration_method == "entropy":  # its search takes the square of their length
            for name, (hist, edges, *rest) in known.items():
                known[name] = (*merged_histogram(hist, edges, bins), *rest)
        with contextlib.redirect_stdout(io.StringIO()):
            found = collector.compute_collection_result()
        return {name: (float(low), float(high)) for name, (low, high, *_) in found.items()}


def merged_histogram(hist: NDArray[Any], edges: NDArray[Any], bins: int) -> tuple[NDArray[Any], NDArray[Any]]:
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
