"""One policy, four ways to compute it: torch, ONNX Runtime, and the compiled program on `sim` or `rtl`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vla_models.keys import ACTION_LOGITS, IMAGE, MISSION, PREVIOUS_ACTION
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import RunnerSpec

__all__ = ["Runner", "make_runner"]

Inputs = Mapping[str, npt.NDArray[np.float32]]


class Runner(Protocol):
    """Computes action logits (7,) from the preprocessor's inputs."""

    def __call__(self, inputs: Inputs) -> npt.NDArray[np.float32]:
        """Logits of one observation."""


def make_runner(spec: RunnerSpec) -> Runner:
    """Load the policy on its backend, single-threaded: evaluation runs one process per core.

    Raises:
        EvaluationError: unknown backend, no such file, not the backend's, or not a policy of this project.
        VlaError: the file is damaged.
    """
    spec.check()
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
    try:
        session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises its own classes, without a common base
        raise EvaluationError(f"{path} is no ONNX model that ONNX Runtime can load: {error}") from error
    _check_names(path, [i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()])

    def run(inputs: Inputs) -> npt.NDArray[np.float32]:
        return np.asarray(session.run([ACTION_LOGITS], dict(inputs))[0][0], np.float32)

    return run


def _check_names(path: Path, inputs: list[str], outputs: list[str]) -> None:
    """Refuse a model of another kind: the episodes give these inputs and read this output."""
    wanted = {IMAGE, MISSION, PREVIOUS_ACTION}
    if set(inputs) != wanted or ACTION_LOGITS not in outputs:
        raise EvaluationError(
            f"{path} takes {', '.join(inputs)} and gives {', '.join(outputs)}; a policy of these levels takes "
            f"{', '.join(sorted(wanted))} and gives {ACTION_LOGITS}."
        )


def _program_runner(path: Path, backend: str) -> Runner:
    import vlarun

    session: Any = vlarun.open_session(str(path), backend=backend)
    program = session.program if isinstance(session, vlarun.Session) else session.package
    _check_names(path, [t.name for t in program.inputs], [t.name for t in program.outputs])

    def run(inputs: Inputs) -> npt.NDArray[np.float32]:
        return np.asarray(session.run(dict(inputs))[ACTION_LOGITS][0], np.float32)

    return run
