"""A float policy and calibration data to a quantized policy: what the compiler would compile, ready to be trained.

BatchNormalization is folded, biases are joined and so on by the compiler's own rewriting; the ranges are those that it
would choose. So an untrained quantized policy is the program of post-training quantization.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from vla_isa import hardware
from vla_models.errors import PolicyError
from vla_models.export_onnx import exported
from vla_models.policy import GraphSpec, Policy
from vla_models.quantized.graph import QuantizedGraph
from vla_models.quantized.policy import QuantizedPolicy
from vla_models.quantized.skeleton import encode, weights_of
from vla_models.quantized_config import QuantizedConfig
from vlac.model.carried import carried_names, repeat_of
from vlac.options import CompileOptions
from vlac.passes import Compilation, run_passes
from vlac.pipeline import PASSES

__all__ = ["quantize_graph", "quantize_policy"]

Arrays = Mapping[str, NDArray[Any]]
_HARDWARE = "u50"  # whose limits decide what is refused; the integers are the same on every config


def quantize_policy(policy: torch.nn.Module, name: str, calibration: Arrays) -> QuantizedPolicy:
    """A float policy of the registry, called `name`, as the device computes it.

    Args:
        calibration: the inputs of its graph by name, N samples on axis 0.

    Raises:
        PolicyError: it has several graphs, task masks, or an operator that cannot be learned through.
        VlaError: the compiler refuses the graph or the data.
    """
    graphs = cast(Policy, policy).graphs()
    if len(graphs) != 1:
        names = ", ".join(graph.name for graph in graphs)
        raise PolicyError(f"policy '{name}' has {len(graphs)} graphs ({names}); QAT takes policies of one.")
    policy.eval()
    model = exported(graphs[0])
    if model.metadata_props:
        said = ", ".join(prop.key for prop in model.metadata_props)
        raise PolicyError(
            f"policy '{name}' says '{said}' of its model; a model after QAT does not say it. Train it "
            "without (driving_tiles: 'gated' false), or compile the float policy with calibration."
        )
    graph = quantize_graph(model, calibration)
    graph.fix(_constants(graphs[0], model) & weights_of(graph.model).keys())
    config = QuantizedConfig(name, dataclasses.asdict(cast(Policy, policy).config), encode(graph.model))
    made = QuantizedPolicy(config, policy)
    made.graph.load_state_dict(graph.state_dict())
    return made


def quantize_graph(model: onnx.ModelProto, calibration: Arrays) -> QuantizedGraph:
    """A float ONNX model of batch 1 as the device computes it; see `quantize_policy`."""
    samples = {key: np.ascontiguousarray(array) for key, array in calibration.items()}
    state = _compiled(model, 3, CompileOptions(calibration=samples))
    found = state.quantized
    if found is None or found.floating is None:
        raise PolicyError("QAT takes float models; this one holds QuantizeLinear already, or computes nothing.")
    if found.host:
        raise PolicyError(f"QAT takes no nodes that run on the host: {', '.join(sorted(found.host))}.")
    if state.direct:
        text = f"outputs that are inputs or constants, as they compute nothing: {', '.join(sorted(state.direct))}"
        raise PolicyError(f"QAT takes no {text}. Leave them out of the graph.")
    repeat, carried = repeat_of(found.floating).count, carried_names(found.floating)
    if repeat > 1 or carried:
        text = f"the compiler makes this one of {repeat} rounds, which carry {', '.join(sorted(carried))}"
        raise PolicyError(f"QAT takes no graph that repeats or carries state; {text}.")
    graph = QuantizedGraph(found.floating)
    if any(v.dtype == ir.DataType.INT16 for v in found.model.graph.initializers.values()):
        raise PolicyError("QAT takes int8 only, and the compiler holds values of this graph as int16.")
    graph.set_ranges(found.ranges.values)
    return graph


def _compiled(model: onnx.ModelProto, passes: int, options: CompileOptions) -> Compilation:
    """A model after the first passes of the compiler."""
    state = Compilation(Path(model.graph.name or "policy"), hardware.load(_HARDWARE), options, given=model)
    run_passes(PASSES[:passes], state, lambda path, content: None, lambda name: None)
    return state


def _constants(graph: GraphSpec, model: onnx.ModelProto) -> set[str]:
    """Names of weights that stay as they are where all parameters of the module change a little: buffers and masks.

    The compiler folds and renames parameters, so their names do not tell. Masks that the policy makes of its
    parameters are 0 and 1 before and after.
    """
    moved = copy.deepcopy(graph.module)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in moved.parameters():
            noise = torch.rand(parameter.shape, generator=generator).to(parameter)
            parameter.mul_(1.01).add_(1e-3 * (1 + noise))
    first, second = (_weights(m) for m in (model, exported(dataclasses.replace(graph, module=moved))))
    pairs = {name: (array, second[name]) for name, array in first.items() if name in second}
    return {name for name, (a, b) in pairs.items() if np.array_equal(a, b) or (_is_mask(a) and _is_mask(b))}


def _weights(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    rewritten = _compiled(model, 2, CompileOptions()).model
    assert rewritten is not None
    found = ((name, value.const_value) for name, value in weights_of(rewritten).items())
    return {name: array.numpy() for name, array in found if array is not None}


def _is_mask(array: NDArray[Any]) -> bool:
    return bool(np.isin(array, (0, 1)).all())
