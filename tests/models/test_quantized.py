"""A quantized policy computes, in torch, the integers of the program that its own export compiles to."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest

import vlarun
from vla_models.errors import PolicyError
from vla_models.registry import find_policy
from vlac.api import compile_file
from vlac.options import CompileOptions


@pytest.mark.parametrize("name", ["babyai_cnn", "babyai_film", "residual", "gated"])
@pytest.mark.parametrize("steps", [0, 6])
def test_every_tensor_is_that_of_the_program(name: str, steps: int) -> None:
    import torch
    from quantized_nets import graph_named, quantized_of, train_on_noise

    graph = graph_named(name)
    quantized = quantized_of(graph)
    train_on_noise(graph, quantized, steps)
    state = compile_file(quantized.to_onnx(), "tiny", CompileOptions(debug_outputs=True))
    session = vlarun.Session(state.program, backend="sim")
    inputs = {key: 1.7 * value for key, value in graph.example(24, seed=2).items()}  # beyond what was calibrated
    with torch.no_grad():
        integers, y = quantized.integers(*inputs.values()), quantized(*inputs.values())
    for row in range(24):
        one = {key: value[row : row + 1].numpy() for key, value in inputs.items()}
        assert np.array_equal(session.run(one)[graph.outputs[0]], y[row : row + 1].numpy())
        shown = session.device_outputs(one)
        seen = {key: shown[f"{key}.quantized"] for key in integers if f"{key}.quantized" in shown}
        assert len(seen) >= 3
        for key, values in seen.items():
            assert np.array_equal(values.reshape(-1), integers[key].q[row].numpy().reshape(-1)), key


def test_before_training_it_is_post_training_quantization() -> None:
    from quantized_nets import graph_named

    from vla_models.export_onnx import exported
    from vla_models.quantized.convert import quantize_graph

    graph = graph_named("residual")
    arrays = {key: value.numpy() for key, value in graph.example(32, seed=1).items()}
    model = exported(graph)
    compiled = compile_file(model, "tiny", CompileOptions(calibration=arrays)).program
    ours = compile_file(quantize_graph(model, arrays).to_onnx(), "tiny").program
    x = {"x": graph.example(1, seed=5)["x"].numpy()}
    first, second = (vlarun.Session(p, backend="sim").run(x)["y"] for p in (compiled, ours))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("name", ["residual", "gated"])
def test_training_computes_nearly_what_evaluation_does(name: str) -> None:
    """Float32 in place of integers: some ties fall otherwise."""
    import torch
    from quantized_nets import graph_named, quantized_of

    graph = graph_named(name)
    quantized = quantized_of(graph)
    inputs = graph.example(64, seed=4).values()
    with torch.no_grad():
        exact, trained = quantized.eval().integers(*inputs), quantized.train().integers(*inputs)
    for key, value in exact.items():
        difference = (value.q - trained[key].q).abs()
        assert difference.max() <= 1, key
        assert (difference > 0).float().mean() < 0.01, key


def test_gradients_are_those_of_the_float_network() -> None:
    """In the limit of fine steps; here to a tenth, of every weight."""
    from quantized_nets import Gated, graph_of, quantized_of

    net = Gated().eval()
    graph = graph_of(net, 6)
    quantized = quantized_of(graph).train()
    x = 0.5 * graph.example(512, seed=6)["x"]  # inside what was calibrated: nothing saturates
    for module in (net, quantized):
        module(x).square().sum().backward()
    wanted = {name: p.grad for name, p in net.named_parameters()}
    found = {name.removeprefix("weights.").replace("/", "."): p.grad for name, p in quantized.named_parameters()}
    assert wanted.keys() == found.keys()
    for name, gradient in wanted.items():
        assert float((gradient - found[name]).norm()) < 0.1 * float(gradient.norm()), name


def test_a_clamped_result_takes_no_gradient() -> None:
    import torch
    from quantized_nets import graph_of, quantized_of

    graph = graph_of(torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)), 4)
    quantized = quantized_of(graph).train()
    with torch.no_grad():
        quantized.weights["0/bias"].fill_(-100.0)
    quantized(graph.example(16)["x"]).sum().backward()
    assert not quantized.weights["0/weight"].grad.any()
    with pytest.raises(PolicyError, match=r"its bias -100 of channel 0 is far beyond its results' range"):
        quantized.to_onnx()  # the quantizer would cut it


def test_the_graph_survives_as_text_without_its_weights() -> None:
    import torch
    from quantized_nets import graph_named, quantized_of

    from vla_models.quantized.graph import QuantizedGraph
    from vla_models.quantized.skeleton import decode, encode

    quantized = quantized_of(graph_named("residual"))
    text = encode(quantized.model)
    again = QuantizedGraph(decode(text))
    assert not any(p.any() for p in again.parameters())
    again.load_state_dict(quantized.state_dict())
    x = graph_named("residual").example(4, seed=8)["x"]
    assert torch.equal(again.eval()(x), quantized.eval()(x))
    assert torch.equal(copy.deepcopy(again)(x), again(x))
    with pytest.raises(PolicyError, match="damaged"):
        decode(text[:40])


def test_what_it_cannot_learn_through_is_named() -> None:
    from quantized_nets import Normed, graph_of, quantized_of

    from vla_models.quantized.convert import quantize_policy

    with pytest.raises(PolicyError, match=r"LayerNormalization '.*' cannot be trained .* no gradient"):
        quantized_of(graph_of(Normed(), 6))
    spec = find_policy("babyai_cnn")
    policy = spec.make(spec.configured({"channels": [4, 4, 4], "hidden": 4}))
    (graph,) = policy.graphs()
    policy.graphs = lambda: (graph, graph)
    with pytest.raises(PolicyError, match="2 graphs"):
        quantize_policy(policy, "babyai_cnn", {})


def test_ties_round_to_even_as_on_the_device() -> None:
    """Means of two integers in one scale: every second one is a tie."""
    import torch
    from quantized_nets import graph_of, quantized_of

    class Mean(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=(2, 3))

    quantized = quantized_of(graph_of(Mean(), 16, 1, 2)).eval()
    quantized.ranges.copy_(torch.tensor([0.0, 255.0]).expand_as(quantized.ranges))  # scale 1
    x = np.random.default_rng(0).integers(0, 256, (8, 16, 1, 2)).astype(np.float32)
    found = quantized(torch.from_numpy(x)).numpy()
    assert np.array_equal(found, np.rint(x.mean(axis=(2, 3)).astype(np.float64)))  # rint: ties to even
    session = vlarun.Session(compile_file(quantized.to_onnx(), "tiny").program, backend="sim")
    assert all(np.array_equal(session.run({"x": x[row : row + 1]})["y"], found[row : row + 1]) for row in range(8))


def test_what_it_would_compute_otherwise_than_the_program_is_refused() -> None:
    import torch
    from quantized_nets import graph_of, quantized_of

    class Net(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, kind: str) -> None:
            super().__init__()
            self.kind, self.layer, self.last = kind, torch.nn.Linear(6, 6), torch.nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> Any:
            if self.kind == "loop":
                for _ in range(4):
                    x = torch.tanh(self.layer(x))
                return x
            y = torch.relu(self.layer(x))
            return (y, x) if self.kind == "passed" else self.last(torch.cat([y, torch.full((1, 2), 0.5)], dim=1))

    with pytest.raises(PolicyError, match="repeats or carries state; the compiler makes this one of 4 rounds"):
        quantized_of(graph_of(Net("loop"), 6))
    with pytest.raises(PolicyError, match="outputs that are inputs or constants, as they compute nothing: z"):
        quantized_of(dataclasses.replace(graph_of(Net("passed"), 6), outputs=("y", "z")))
    with pytest.raises(PolicyError, match=r"Concat '.*' cannot be trained .*: its operand '.*' is constant"):
        quantized_of(graph_of(Net("joined"), 6))
    with pytest.raises(PolicyError, match="input 'x' holds NaN"):
        quantized_of(graph_of(torch.nn.Linear(6, 6), 6))(torch.full((1, 6), torch.nan))


def test_a_scalar_of_any_form_survives_as_text() -> None:
    """Protobuf holds numbers as bytes or as `float_data`."""
    import torch
    from onnx import TensorProto, helper, numpy_helper

    from vla_models.quantized.convert import quantize_graph
    from vla_models.quantized.graph import QuantizedGraph
    from vla_models.quantized.skeleton import decode, encode

    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 6)).astype(np.float32)
    weight = numpy_helper.from_array(rng.normal(size=(6, 4)).astype(np.float32), "w")
    factor = helper.make_tensor("c", TensorProto.FLOAT, [], [0.5])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Tanh", ["a"], ["b"])]
    nodes.append(helper.make_node("Mul", ["b", "c"], ["y"]))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, k]) for n, k in (("x", 6), ("y", 4))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight, factor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    quantized = quantize_graph(model, {"x": x}).eval()
    again = QuantizedGraph(decode(encode(quantized.model))).eval()
    again.load_state_dict(quantized.state_dict())
    y = again(torch.from_numpy(x)).detach().numpy()
    assert np.abs(y - 0.5 * np.tanh(x @ numpy_helper.to_array(weight))).max() < 0.05


@pytest.mark.parametrize("name", ["sqrt", "log", "reciprocal"])
def test_beyond_its_domain_a_function_is_that_of_the_program(name: str) -> None:
    """Maxima that calibration saw positive only, in a scale that holds negative numbers; gradients are finite."""
    import torch
    from quantized_nets import graph_of

    from vla_models.export_onnx import exported
    from vla_models.quantized.convert import quantize_graph

    class Net(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = torch.nn.Conv2d(2, 2, 1), torch.nn.Linear(18, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.max_pool2d(self.first(x), 2)
            return self.last(getattr(torch, name)(y).flatten(1))

    torch.manual_seed(0)
    net = Net()
    with torch.no_grad():
        net.first.weight.copy_(torch.eye(2).reshape(2, 2, 1, 1))
        net.first.bias.zero_()
    graph = graph_of(net, 2, 6, 6)
    x = graph.example(32, seed=1)["x"]
    x[:, :, ::2, ::2] = x[:, :, ::2, ::2].abs() + 0.1
    quantized = quantize_graph(exported(graph), {"x": x.numpy()})
    x[:, :, 0:2, 0:2] = torch.linspace(-1, 0, 32).reshape(32, 1, 1, 1)
    quantized.train()(x).square().sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in quantized.parameters())
    y = quantized.eval()(x).detach().numpy()
    session = vlarun.Session(compile_file(quantized.to_onnx(), "tiny").program, backend="sim")
    assert all(np.array_equal(session.run({"x": x[r : r + 1].numpy()})["y"], y[r : r + 1]) for r in range(0, 32, 4))


def test_constants_of_the_policy_are_not_trained() -> None:
    """Buffers that a layer multiplies with; a saved policy knows it, and its export says nothing of it."""
    import torch
    from quantized_nets import graph_of

    from vla_models.quantized.convert import quantize_policy

    @dataclasses.dataclass
    class Config:
        pass

    class Net(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.config, self.windows = Config(), {}
            self.layer = torch.nn.Linear(4, 4)
            self.register_buffer("spread", torch.eye(4).repeat(1, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.layer(x)) @ self.spread

        def graphs(self) -> Any:
            return (graph_of(self, 4),)

    policy = quantize_policy(Net(), "net", {"x": np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)})
    trained = {name: p.requires_grad for name, p in policy.graph.weights.items()}
    assert trained == {"layer/weight": True, "layer/bias": True, "spread": False}
    assert "fixed" not in str(policy.graph.to_onnx().metadata_props)
