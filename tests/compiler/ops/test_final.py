"""Softmax, LogSoftmax, ArgMax and ArgMin at the end of a model: done on the host, and said so."""

import json

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import image_graph
from parity import compile_proto, random_inputs
from qdq_graphs import QdqBuilder

import vlarun
from vla_isa import image
from vlac.report.html import report_page
from vlac.report.summary import summary
from vlarun.errors import BackendError


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


EXPECTED = {
    "Softmax": softmax,
    "LogSoftmax": lambda x, axis: np.log(softmax(x, axis)),
    "ArgMax": lambda x, axis: np.argmax(x, axis, keepdims=True),
    "ArgMin": lambda x, axis: np.argmin(x, axis, keepdims=True),
}


def outputs_of(model, calib="random:4"):
    """The program, its outputs and its raw outputs for random inputs."""
    program = image.loads(image.dumps(compile_proto(model, calib=calib).program))
    inputs = random_inputs(program)
    session = vlarun.Session(program)
    return program, session.run(inputs), session.run(inputs, raw=True)


def dequantized(program, raw, name):
    tensor = next(t for t in program.outputs if t.name == name)
    return (raw[name].astype(np.float32) - tensor.zero_point) * np.float32(tensor.scale)


@pytest.mark.parametrize("axis", [1, -1, 2])
@pytest.mark.parametrize("name", EXPECTED)
def test_of_an_image(name, axis):
    program, outputs, raw = outputs_of(image_graph(lambda g, x: g.node(name, [x], axis=axis)))
    ((key, found),) = outputs.items()
    expected = EXPECTED[name](dequantized(program, raw, key), axis)
    assert found.dtype == (np.int64 if name.startswith("Arg") else np.float32)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_classifier_head_with_logits_as_another_output():
    g = GraphBuilder("head")
    pooled = g.node("GlobalAveragePool", [g.conv(g.input("x", (1, 5, 8, 8)), 12, 3)])
    logits = g.gemm(g.node("Flatten", [pooled], 12), 12, 10, relu=False)
    best = g.node("ArgMax", [g.node("Softmax", [logits])], axis=1, keepdims=0)
    _, outputs, _ = outputs_of(g.model(logits, best))
    found, index = outputs.values()
    assert index.shape == (1,) and index[0] == found[0].argmax()


def test_the_last_of_equal_values():
    g = QdqBuilder("ties")
    x = g.qdq(g.input("x", (2, 6)), 0.1)
    names = [g.node("ArgMax", [x], axis=1, select_last_index=last) for last in (0, 1)]
    program = compile_proto(g.model(*names), calib=None).program
    outputs = vlarun.Session(program).run({"x": np.array([[1, 3, 3, 0, 3, 2], [5, 5, 5, 5, 5, 5]], np.float32)})
    assert [outputs[n].ravel().tolist() for n in names] == [[1, 0], [4, 5]]


def test_reshaped_and_quantized_on_the_way():
    g = QdqBuilder("quantized")
    x = g.qdq(g.input("x", (1, 10, 1, 1)), 0.05)
    flat = g.node("Flatten", [g.node("Softmax", [x], axis=1)], 10)
    program, outputs, raw = outputs_of(g.model(g.qdq(flat, 1 / 256, 0, np.uint8)), calib=None)
    ((key, found),) = outputs.items()
    expected = softmax(dequantized(program, raw, key), 1).reshape(1, 10)
    np.testing.assert_array_equal(found, np.clip(np.rint(expected * 256), 0, 255) / np.float32(256))


def test_several_runs_are_joined():
    g = GraphBuilder("runs")
    program = compile_proto(g.model(g.node("ArgMax", [g.input("x", (1, 6))], axis=1, keepdims=0))).program
    x = np.eye(6, dtype=np.float32)[[3, 1, 4]]
    (found,) = vlarun.Session(program).run({"x": x}).values()
    assert found.tolist() == [3, 1, 4]


def test_is_said_in_the_report_and_the_summary():
    program = compile_proto(image_graph(lambda g, x: g.node("Softmax", [x], axis=1))).program
    assert json.loads(json.dumps(summary(program)))["outputs"][0]["host"] == ["Softmax"]
    assert "on the host" in report_page(program, "m") and "Softmax" in report_page(program, "m")


def test_ref_has_no_raw_outputs_then(tmp_path):
    model = image_graph(lambda g, x: g.node("Softmax", [x], axis=1))
    program = compile_proto(model).program
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    session = vlarun.Session(program, backend="ref", onnx=tmp_path / "m.onnx")
    inputs = random_inputs(program)
    (probabilities,) = session.run(inputs).values()
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    with pytest.raises(BackendError, match=r"no integers for .* \(Softmax\)"):
        session.run(inputs, raw=True)


def test_reshape_at_the_end_that_moves_data_is_the_layout_of_the_output():
    g = GraphBuilder("reshape")
    y = g.node("Reshape", [g.conv(g.input("x", (1, 4, 6, 6)), 8, 1), g.constant(np.array([6, 8, 6]))])
    program, outputs, raw = outputs_of(g.model(y))
    assert program.model.steps(program.model.outputs[0].source) == [] and outputs[y].shape == raw[y].shape == (6, 8, 6)
    plain = compile_proto(g.model("relu1")).program
    expected = vlarun.Session(plain).run(random_inputs(plain))["relu1"]
    np.testing.assert_array_equal(outputs[y], expected.reshape(6, 8, 6))
