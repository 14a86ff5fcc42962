"""A stand-in for the device: ONNX Runtime behind the interface of `vlarun.Session`."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import onnxruntime


class FakeSession:
    """ONNX Runtime behind vlarun's interface: `prog.bin` is the ONNX file, raw outputs are rounded logits."""

    error = 0  # added to rtl's first raw output

    def __init__(self, path: str, backend: str = "sim") -> None:
        self._session: Any = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self._backend = backend
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._inputs = inputs
        self.program = types.SimpleNamespace(model_outputs=outputs, tasks=None, policies={})
        self.stats: dict[str, Any] = {}
        self.cycles = 0

    def at(self, entry: str | None) -> Any:
        return self.program

    def wanted_inputs(self) -> tuple[list[Any], set[str]]:
        return self._inputs, set()

    def run(self, inputs: dict[str, np.ndarray], raw: bool = False, entry: str | None = None) -> dict[str, np.ndarray]:
        assert entry is None  # one task
        rows = range(len(next(iter(inputs.values()))))
        logits = np.concatenate([self._session.run(None, {n: v[[r]] for n, v in inputs.items()})[0] for r in rows])
        cycles = 20_000 if self._backend == "rtl" else 19_900
        self.cycles = cycles
        self.stats = {
            "cycles": cycles, "macs": 11_580_000, "peak_macs_per_cycle": 2048, "utilization": 0.28,
            "hbm_read_bytes": 1_700_000, "hbm_write_bytes": 64, "wall_seconds": 0.1, "instructions": [],
        }  # fmt: skip
        if not raw:
            return {"action_logits": logits}
        integers = np.clip(np.round(logits * 100), -128, 127).astype(np.int8)
        if self._backend == "rtl":
            integers[0, 0] += self.error
        return {"action_logits": integers}
