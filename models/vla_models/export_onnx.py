"""Export every graph of a policy to ONNX (opset 20, static shapes, batch 1), checked in ONNX Runtime."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import torch

from vla_isa.files import whole_file
from vla_models.errors import ExportError, PolicyError
from vla_models.policy import GraphSpec, Policy, graph_paths
from vla_models.weights_id import POLICY, id_of

__all__ = ["CARRIES", "GRAPH", "OPSET", "TOLERANCE", "check_parity", "export_onnx", "exported", "traced"]

OPSET = 20  # the newest that both exports every policy correctly and keeps attention as plain MatMul and Softmax
GRAPH, CARRIES = "vlac.graph", "vlac.carries"  # keys of the metadata of a policy of several graphs; vlac reads them
TOLERANCE = 1e-4  # largest absolute difference of any output, float32 against float32


def export_onnx(policy: torch.nn.Module, path: Path, *, circuits: bool = False) -> float:
    """Write every graph of a policy, all or none, and return the largest difference to torch on random inputs.

    Args:
        policy: of the registry.
        path: of the model; where a policy has several graphs, `model.onnx` stands for `model-<graph>.onnx`.
        circuits: leave its gates out of the graphs, and in the metadata alone: for a program of circuits.

    Raises:
        PolicyError: it has no gates.
        ExportError: an exported graph differs from its module by more than its tolerance.
    """
    policy.eval()
    graphs = _circuits(policy) if circuits else cast(Policy, policy).graphs()
    _check_carries(graphs)
    policy_id = id_of(policy)
    paths = graph_paths(path, graphs)
    with contextlib.ExitStack() as written:
        largest = 0.0
        for graph, target in zip(graphs, paths, strict=True):
            temporary = written.enter_context(whole_file(target))
            model = exported(graph)
            said = {p.key: p.value for p in model.metadata_props} | {POLICY: policy_id}
            if len(graphs) > 1:
                said |= {GRAPH: graph.name, CARRIES: json.dumps(dict(graph.carries))}
            onnx.helper.set_model_props(model, said)
            temporary.write_bytes(model.SerializeToString(deterministic=True))
            largest = max(largest, check_parity(graph, temporary))
        return largest


def _circuits(policy: Any) -> tuple[GraphSpec, ...]:
    if not hasattr(policy, "circuits"):
        raise PolicyError("The policy has no gates, so it has no circuits; export it without them.")
    found: tuple[GraphSpec, ...] = policy.circuits()
    return found


def _check_carries(graphs: Sequence[GraphSpec]) -> None:
    """Refuse what is handed on from no output, or to no input."""
    takes = {f"{graph.name}.{name}" for graph in graphs for name in graph.inputs()}
    for graph in graphs:
        for output, target in graph.carries.items():
            if output not in graph.outputs or target not in takes:
                raise ExportError(
                    f"'{graph.name}' hands '{output}' to '{target}'; its outputs are {', '.join(graph.outputs)}, and "
                    f"the graphs take {', '.join(sorted(takes))}."
                )


def exported(graph: GraphSpec) -> onnx.ModelProto:
    """One graph as ONNX: of its module by torch's exporter, or as it writes itself."""
    model: Any
    if graph.to_onnx is not None:
        model = graph.to_onnx()
        onnx.checker.check_model(model, full_check=True)
        return model
    model = traced(graph.module, graph.example(), graph.outputs)
    said = graph.metadata([node.name for node in model.graph.node if node.op_type == "Conv"])
    onnx.helper.set_model_props(model, dict(said))
    onnx.checker.check_model(model, full_check=True)
    return model


def traced(
    module: torch.nn.Module,
    example: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    sizes: Sequence[Any] | None = None,
) -> onnx.ModelProto:
    """A module as ONNX, by torch's exporter, without metadata.

    Args:
        module: whose `forward` takes tensors and gives them.
        example: its inputs by name, in order.
        outputs: their names, in order.
        sizes: for each input the axes that have other sizes too, as `torch.export` takes them; None: there are none.
    """
    module = copy.deepcopy(module).to(memory_format=torch.contiguous_format)  # training may like another layout
    with _quiet(), torch.no_grad():
        program: Any = torch.onnx.export(
            module,
            tuple(example.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(example),
            output_names=list(outputs),
            dynamic_shapes=None if sizes is None else tuple(sizes),
            verbose=False,
        )
    model: onnx.ModelProto = program.model_proto
    for node in model.graph.node:  # the exporter's stack traces hold paths of this machine
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    return model


def check_parity(graph: GraphSpec, path: Path, samples: int = 8) -> float:
    """Largest absolute difference between torch and ONNX Runtime over random inputs.

    Raises:
        ExportError: it exceeds the graph's tolerance, or an output is not a number.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of constants that it cannot fold
    if graph.to_onnx is not None:  # its integer layers are exact on some CPUs only
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    tolerance = TOLERANCE if graph.tolerance is None else graph.tolerance
    largest = 0.0
    for seed in range(samples):
        inputs = graph.example(seed=seed)
        with torch.no_grad():
            returned = graph.module(*inputs.values())
        expected = (returned,) if isinstance(returned, torch.Tensor) else returned
        found = session.run(list(graph.outputs), {name: value.numpy() for name, value in inputs.items()})
        for one, other in zip(expected, found, strict=True):
            largest = float(np.maximum(largest, np.abs(one.numpy() - other).max()))  # NaN, if there is one
    if math.isnan(largest):
        raise ExportError(f"'{graph.name}': outputs are not numbers; its weights may not be, so train it again.")
    if not largest <= tolerance:
        raise ExportError(
            f"'{graph.name}': ONNX Runtime differs from torch by {largest:.3g}, more than {tolerance:.3g}; "
            "the exporter changed the meaning of the model."
        )
    return largest


@contextlib.contextmanager
def _quiet() -> Any:
    """The exporter prints its steps and warns of absent torchvision and of constants that it leaves to the compiler."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
