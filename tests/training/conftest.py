"""A small data set and trained policy, made once; and a stand-in for the compiler and the device."""

from __future__ import annotations

import shutil
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from vla_datasets.babyai.collect import CollectOptions, collect
from vla_training.config import load_config
from vla_training.train import train

CONFIG = load_config("debug")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    collect(CollectOptions(CONFIG.level, CONFIG.episodes, CONFIG.collect_seed), folder)
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(CONFIG, data, folder)
    return folder


class FakeSession:
    """ONNX Runtime behind vlarun's interface: `prog.bin` is the ONNX file, raw outputs are rounded logits."""

    error = 0  # added to rtl's first raw output

    def __init__(self, path: str, backend: str = "sim") -> None:
        self._session: Any = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self._backend = backend
        self.stats: dict[str, Any] = {}

    def run(self, inputs: dict[str, np.ndarray], raw: bool = False) -> dict[str, np.ndarray]:
        logits = self._session.run(None, inputs)[0]
        cycles = 20_000 if self._backend == "rtl" else 19_900
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


@pytest.fixture
def fake_device(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Replace `vlarun.Session` and `vlac.cli.main`; returns the list of compiler calls."""
    import vlarun

    calls: list[list[str]] = []

    def compile_(arguments: list[str]) -> int:
        calls.append(arguments)
        shutil.copy(arguments[1], arguments[arguments.index("-o") + 1])
        return 0

    module = types.ModuleType("vlac.cli")
    module.main = compile_  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vlac.cli", module)
    monkeypatch.setattr(vlarun, "Session", FakeSession, raising=False)
    monkeypatch.setattr(FakeSession, "error", 0)
    return calls
