"""A quantized policy computes, in torch, the integers of the program that its own export compiles to."""

from __future__ import annotations

import copy

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
