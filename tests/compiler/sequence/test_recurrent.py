"""LSTM, GRU and RNN, cells and whole sequences: unrolled the same in float, and near float on the device."""

import io
import warnings
from itertools import product

import numpy as np
import onnx
import pytest
from on_device import run
from rewritten import ops, rewritten

from vlac.rewrite.recurrent import unroll_recurrent

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
IN, SIZE = 12, 24
WIDTH, STATE = 5, 4  # of the small ones
EXPORTERS = {
    "dynamo": {"dynamo": True, "opset_version": 18},
    "legacy": {"dynamo": False, "opset_version": 17},
}


def small(op, steps, direction, given, more=""):
    """One node with all its results, rewritten; `given`: with states."""
    rng, ways = np.random.default_rng(0), 2 if direction == "bidirectional" else 1
    rows = GATES[op] * STATE
    shapes = {"W": (ways, rows, WIDTH), "R": (ways, rows, STATE), "B": (ways, 2 * rows)}
    constants = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    states = ["h", "c"] if op == "LSTM" else ["h"]
    inputs = [f"float[{steps},1,{WIDTH}] x", *(f"float[{ways},1,{STATE}] {s}" for s in states if given)]
    outputs = ", ".join(["y", *(f"{s}n" for s in states)])
    arguments = ", ".join(["x, W, R, B", *(["", *states] if given else [])])
    body = f'{outputs} = {op} <hidden_size = {STATE}, direction = "{direction}"{more}> ({arguments})'
    return rewritten(unroll_recurrent, body, ", ".join(inputs), outputs, constants=constants)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", GATES)
def test_unrolled_is_the_same(op, direction):
    """One step and several, states given or not, a GRU with its reset before the product and behind it."""
    relu = ", ".join(['"Relu"'] * (2 if direction == "bidirectional" else 1))
    kinds = {"GRU": ["", ", linear_before_reset = 1"], "RNN": ["", f", activations = [{relu}]"]}.get(op, [""])
    for steps, given, more in product((1, 3), (False, True), kinds):
        assert op not in ops(small(op, steps, direction, given, more))


def exported(module, inputs, how):
    import torch

    torch.manual_seed(0)
    module.eval()
    tensors = tuple(torch.randn(*shape) for shape in inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if how["dynamo"]:
            return torch.onnx.export(module, tensors, verbose=False, **how).model_proto
        file = io.BytesIO()
        torch.onnx.export(module, tensors, file, **how)
    return onnx.load_from_string(file.getvalue())


def policy(kind, **more):
    """A layer, a recurrent one over a sequence, a layer."""
    import torch
    from torch import nn

    class Policy(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.core = nn.Linear(IN, 20), getattr(nn, kind)(20, SIZE, **more)
            self.head = nn.Linear(SIZE * (2 if more.get("bidirectional") else 1), 5)

        def forward(self, x):
            return self.head(self.core(torch.relu(self.encoder(x)))[0])

    torch.manual_seed(0)
    return Policy()


SEQUENCES = {
    "LSTM": ("LSTM", {}),
    "GRU": ("GRU", {}),
    "RNN": ("RNN", {}),
    "two layers": ("GRU", {"num_layers": 2}),
    "both ways": ("LSTM", {"bidirectional": True}),
    "batch first": ("LSTM", {"batch_first": True}),
}


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences(name, exporter):
    kind, more = SEQUENCES[name]
    shape = (1, 6, IN) if more.get("batch_first") else (6, 1, IN)
    found = run(exported(policy(kind, **more), [shape], EXPORTERS[exporter]), "tiny")
    assert found.snr >= 30.0, found.snr


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
def test_cells(kind, exporter):
    """A policy of one step, whose state is given and returned."""
    import torch
    from torch import nn

    class Step(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.core, self.head = nn.Linear(IN, 20), getattr(nn, kind)(20, SIZE), nn.Linear(SIZE, 5)

        def forward(self, x, *state):
            new = self.core(torch.relu(self.encoder(x)), state if len(state) > 1 else state[0])
            new = new if isinstance(new, tuple) else (new,)
            return (self.head(new[0]), *new)

    torch.manual_seed(0)
    states = 2 if kind == "LSTMCell" else 1
    found = run(exported(Step(), [(1, IN), *[(1, SIZE)] * states], EXPORTERS[exporter]), "u50")
    assert found.snr >= 20.0, found.snr  # states here are normal, and beyond what calibration saw
