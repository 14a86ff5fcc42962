"""ONNX Runtime as the runtime uses it: quiet, on the CPU, with one class of errors for its many.

Not here: as the compiler does, which trusts no optimization (`vlac/model/onnx_runtime.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from vlarun.errors import BackendError

__all__ = ["OnnxSession"]


class OnnxSession:
    """A model ready to run.

    Args:
        model: its bytes.
        what: the model to the user: "the model".
        integers: with integer kernels for Q/DQ pairs, int8 x int8 too.

    Raises:
        BackendError: it cannot be loaded.
    """

    def __init__(self, model: bytes, what: str, *, integers: bool = False) -> None:
        self._what = what
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # sessions wait for one another
        if integers:
            options.add_session_config_entry("session.qdqisint8allowed", "1")
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as e:  # ONNX Runtime raises its own classes, without a common base
            raise BackendError(f"ONNX Runtime cannot load {what}: {e}") from e
        self.inputs: list[Any] = self._session.get_inputs()
        self.outputs: list[Any] = self._session.get_outputs()

    def run(self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[Any]:
        """The outputs of these names, in this order.

        Raises:
            BackendError: the model does not run on these inputs.
        """
        try:
            return list(self._session.run(list(outputs), dict(feeds)))
        except Exception as e:  # see __init__
            raise BackendError(f"ONNX Runtime refuses to run {self._what}: {e}") from e
