"""ONNX Runtime as the compiler uses it: quiet, on the CPU, with one class of errors for its many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Timer
from typing import Any

import onnx
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from vlac.errors import ModelError

__all__ = ["OnnxRuntimeError", "OnnxSession", "TimeLimitError"]


class OnnxRuntimeError(ModelError):
    """What ONNX Runtime says of a model that it cannot load or run: its own classes have no common base."""


class TimeLimitError(OnnxRuntimeError):
    """A run took longer than it may."""


class OnnxSession:
    """A model ready to run.

    Args:
        model: a model, its bytes, or its file.
        optimized: fuse and reorder nodes; else each is computed as the model has it.
        integers: with integer kernels for Q/DQ pairs, int8 x int8 too.
        free_early: compute in an order that frees results as early as possible.

    Raises:
        OnnxRuntimeError: it cannot be loaded.
    """

    def __init__(
        self,
        model: ir.Model | onnx.ModelProto | bytes | Path,
        *,
        optimized: bool = False,
        integers: bool = False,
        free_early: bool = False,
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        if not optimized:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if integers:
            options.add_session_config_entry("session.qdqisint8allowed", "1")
        if free_early:
            options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
        try:
            given = _bytes_or_path(model)
            self._session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        except Exception as e:  # see OnnxRuntimeError
            raise OnnxRuntimeError(str(e).strip()) from e
        self.inputs: list[Any] = self._session.get_inputs()
        self.outputs: list[Any] = self._session.get_outputs()

    def run(
        self, outputs: Sequence[str] | None, feeds: Mapping[str, NDArray[Any]], *, seconds: float | None = None
    ) -> list[Any]:
        """The outputs of these names (None: all), in this order; arrays, or lists where a model makes sequences.

        Args:
            seconds: how long it may take.

        Raises:
            TimeLimitError: it takes longer.
            OnnxRuntimeError: the model does not run on these inputs.
        """
        limit = onnxruntime.RunOptions()
        timer = None if seconds is None else Timer(seconds, setattr, (limit, "terminate", True))
        if timer is not None:
            timer.start()
        try:
            return list(self._session.run(None if outputs is None else list(outputs), dict(feeds), limit))
        except Exception as e:  # see OnnxRuntimeError
            raise (TimeLimitError if limit.terminate else OnnxRuntimeError)(str(e).strip()) from e
        finally:
            if timer is not None:
                timer.cancel()


def _bytes_or_path(model: ir.Model | onnx.ModelProto | bytes | Path) -> bytes | str:
    if isinstance(model, Path):
        return str(model)
    if isinstance(model, bytes):
        return model
    proto = ir.to_proto(model) if isinstance(model, ir.Model) else model
    return bytes(proto.SerializeToString())
