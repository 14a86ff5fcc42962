"""ONNX Runtime's own int8 model of a float one, to stand beside a program: `quantize_static`, min-max, per channel.

Not here: files that need more than that (`shipped_models.py`).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

__all__ = ["PRODUCTS", "int8_model", "session"]

Arrays = Mapping[str, NDArray[Any]]
PRODUCTS = ("MatMul", "Gemm", "Conv")  # quantizing these alone is what ONNX Runtime advises for transformers


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Calibration samples as `quantize_static` asks for them."""

    def __init__(self, samples: Sequence[Arrays]) -> None:
        self._left = iter(samples)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        sample = next(self._left, None)
        return None if sample is None else dict(sample)


def int8_model(model: Path, samples: Sequence[Arrays], operators: Sequence[str] | None = None) -> bytes:
    """The QDQ model of a file, with these operators in 8 bits, or all that it can."""
    onnxruntime.set_default_logger_severity(4)
    logging.getLogger().setLevel(logging.ERROR)  # it warns of every vector
    with tempfile.TemporaryDirectory() as folder:
        prepared, result = (Path(folder) / f"{n}.onnx" for n in ("prepared", "result"))
        quant_pre_process(model, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            result,
            _Reader(samples),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=None if operators is None else list(operators),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
        )
        return result.read_bytes()


def session(model: bytes | Path) -> onnxruntime.InferenceSession:
    """A model on the processor, integer kernels allowed."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    given = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
