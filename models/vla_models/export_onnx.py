"""Export a policy to ONNX (opset 20, static shapes, batch 1) and check it in ONNX Runtime."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import torch

from vla_isa.files import whole_file
from vla_models.errors import ExportError
from vla_models.policy import Policy

__all__ = ["OPSET", "TOLERANCE", "check_parity", "export_onnx"]

OPSET = 20  # the newest that both exports every policy correctly and keeps attention as plain MatMul and Softmax
TOLERANCE = 1e-4  # largest absolute difference of any output, float32 against float32


def export_onnx(policy: torch.nn.Module, path: Path) -> float:
    """Write `path` (whole or not at all) and return the largest difference to torch on random inputs.

    Raises:
        ExportError: the exported graph differs from the module by more than `TOLERANCE`.
    """
    contract = cast(Policy, policy)
    policy.eval()
    example = contract.example_inputs()
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            policy,
            tuple(example[name] for name in contract.input_names),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(contract.input_names),
            output_names=list(contract.output_names),
            verbose=False,
        )
    model: Any = program.model_proto
    for node in model.graph.node:  # the exporter's stack traces hold paths of this machine
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    with whole_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
        return check_parity(policy, temporary)


def check_parity(policy: torch.nn.Module, path: Path, samples: int = 8) -> float:
    """Largest absolute difference between torch and ONNX Runtime over random inputs.

    Raises:
        ExportError: it exceeds `TOLERANCE`.
    """
    contract = cast(Policy, policy)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest = 0.0
    for seed in range(samples):
        inputs = contract.example_inputs(seed=seed)
        with torch.no_grad():
            expected = contract(*(inputs[name] for name in contract.input_names)).numpy()
        found = session.run(None, {name: value.numpy() for name, value in inputs.items()})[0]
        largest = max(largest, float(np.abs(expected - found).max()))
    if not largest <= TOLERANCE:
        raise ExportError(
            f"{path}: ONNX Runtime differs from torch by {largest:.3g}, more than {TOLERANCE:.3g}; "
            "the exporter changed the meaning of the model."
        )
    return largest


@contextlib.contextmanager
def _quiet() -> Any:
    """The exporter prints its steps and warns about absent torchvision; neither helps a user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
