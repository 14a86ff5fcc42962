"""Export the module of a spelling as users do."""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import onnx
from spellings import EXPORTERS, HUGGING_FACE, OTHER_OPSETS, Case

__all__ = ["exported"]

MODULES = (
    "attention_modules",
    "norm_modules",
    "rotary_modules",
    "state_modules",
    "mixture_modules",
    "block_modules",
    "policy_modules",
)
LIBRARY = "huggingface_modules"


def exported(case: Case, exporter: str) -> tuple[onnx.ModelProto, dict[str, object]]:
    """The ONNX model of a case and inputs for it by name."""
    import torch

    torch.manual_seed(0)
    module, inputs = _makers(LIBRARY if case in HUGGING_FACE else None)[case.name]()
    module.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            model = _export(module, inputs, **{**EXPORTERS, **OTHER_OPSETS}[exporter])
        finally:
            logging.disable(logging.NOTSET)
    names = [v.name for v in model.graph.input]
    assert len(names) == len(inputs), names
    return model, {name: x.numpy() for name, x in zip(names, inputs, strict=True)}


@cache
def _makers(library: str | None) -> dict[str, Callable[[], Any]]:
    """The modules of all spellings, or of a library's, by name; PyTorch is imported here."""
    modules = MODULES if library is None else (library,)
    return {name: make for module in modules for name, make in importlib.import_module(module).MODULES.items()}


def _export(module: Any, inputs: Any, **how: Any) -> onnx.ModelProto:
    import torch

    if how["dynamo"]:
        return torch.onnx.export(module, inputs, verbose=False, **how).model_proto
    file = io.BytesIO()
    torch.onnx.export(module, inputs, file, **how)
    return onnx.load_from_string(file.getvalue())
