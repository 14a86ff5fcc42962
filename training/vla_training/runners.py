"""One policy, four ways to compute it: torch, ONNX Runtime, and the compiled program on `sim` or `rtl`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vla_models.keys import ACTION_LOGITS
from vla_training.errors import EvaluationError

__all__ = ["BACKENDS", "Runner", "RunnerSpec", "make_runner"]

BACKENDS = ("float", "onnx", "sim", "rtl")

Inputs = Mapping[str, npt.NDArray[np.float32]]


class Runner(Protocol):
    """Computes action logits (7,) from the preprocessor's inputs."""

    def __call__(self, inputs: Inputs) -> npt.NDArray[np.float32]:
        """Logits of one observation."""


@dataclass(frozen=True)
class RunnerSpec:
    """What to run: `path` is a run or saved policy (`float`), model.onnx (`onnx`) or prog.bin.

    A spec, unlike a runner, can be sent to another process.
    """

    backend: str
    path: Path


def make_runner(spec: RunnerSpec) -> Runner:
    """Load the policy on its backend, single-threaded: evaluation runs one process per core.

    Raises:
        EvaluationError: unknown backend, or the file does not exist.
    """
    if spec.backend not in BACKENDS:
        raise EvaluationError(f"Unknown backend '{spec.backend}'; use one of {', '.join(BACKENDS)}.")
    if not spec.path.exists():
        raise EvaluationError(f"{spec.path} does not exist, so backend '{spec.backend}' cannot run it.")
    makers = {"float": _float_runner, "onnx": _onnx_runner}
    if spec.backend in makers:
        return makers[spec.backend](spec.path)
    return _program_runner(spec.path, spec.backend)


def _float_runner(path: Path) -> Runner:
    import torch

    from vla_models.policy import load_policy
    from vla_training.checkpoint import pretrained_folder

    torch.set_num_threads(1)
    policy: Any = load_policy(pretrained_folder(path))

    def run(inputs: Inputs) -> npt.NDArray[np.float32]:
        with torch.no_grad():
            logits = policy(*(torch.from_numpy(inputs[name]) for name in policy.input_names))
        return np.asarray(logits.numpy()[0], np.float32)

    return run


def _onnx_runner(path: Path) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(inputs: Inputs) -> npt.NDArray[np.float32]:
        return np.asarray(session.run([ACTION_LOGITS], dict(inputs))[0][0], np.float32)

    return run


def _program_runner(path: Path, backend: str) -> Runner:
    import vlarun

    module: Any = vlarun
    session: Any = module.Session(str(path), backend=backend)

    def run(inputs: Inputs) -> npt.NDArray[np.float32]:
        return np.asarray(session.run(dict(inputs))[ACTION_LOGITS][0], np.float32)

    return run
