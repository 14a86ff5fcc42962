"""A case through import and the rewrites: what comes out, and that it computes the same in ONNX Runtime."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx.reference import ReferenceEvaluator

from vlac.import_onnx import parse_model
from vlac.import_onnx.load import load_model
from vlac.import_onnx.names import name_all
from vlac.import_onnx.simplify import simplify
from vlac.rewrite import rewrite_float
from vlac.rewrite.sequence import recover_sequences

__all__ = ["check", "recovered", "run"]


def run(proto: onnx.ModelProto, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(proto.SerializeToString(), options).run(None, arrays)


def reference(proto: onnx.ModelProto, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """ONNX Runtime, or ONNX's reference where ONNX Runtime lacks a form of an operator."""
    try:
        return run(proto, arrays)
    except onnxruntime.capi.onnxruntime_pybind11_state.Fail:
        return ReferenceEvaluator(proto).run(None, arrays)


def recovered(proto: onnx.ModelProto) -> ir.Model:
    """The model behind import and all rewrites of float models."""
    model, tail = parse_model(load_model(proto), "model")
    assert tail is None
    name_all(model)
    return rewrite_float(model)


def canonical(proto: onnx.ModelProto) -> ir.Model:
    """The model behind the recovery of sequences alone: later rewrites may write a node out in steps of the device."""
    model, _ = parse_model(load_model(proto), "model")
    name_all(model)
    recover_sequences(model)
    simplify(model)
    return model


def check(
    proto: onnx.ModelProto, arrays: dict[str, np.ndarray], nodes: dict[str, int], gone: tuple[str, ...]
) -> ir.Model:
    """Rewrite a model; hold its nodes and its numbers, on these inputs and on random ones, against the original."""
    model = recovered(proto)
    after = ir.to_proto(model)
    onnx.checker.check_model(after, full_check=True)
    assert [o.name for o in after.graph.output] == [o.name for o in proto.graph.output]
    rng = np.random.default_rng(0)
    for feed in (arrays, {n: _random(rng, a) for n, a in arrays.items()}):
        for wanted, given in zip(reference(proto, feed), run(after, feed), strict=True):
            assert wanted.shape == given.shape
            scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=1e-6)
            assert np.allclose(wanted, given, rtol=1e-4, atol=2e-5 * scale), np.abs(wanted - given).max() / scale
    found = Counter(n.op_type for n in canonical(proto).graph)
    assert {op: found[op] for op in nodes} == nodes, found
    assert not set(gone) & set(found), found
    return model


def _random(rng: np.random.Generator, array: np.ndarray) -> np.ndarray:
    """Other numbers like these; integers and masks stay, as they are what the case is about."""
    return (2 * rng.standard_normal(array.shape)).astype(array.dtype) if array.dtype.kind == "f" else array
