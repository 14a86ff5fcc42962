"""A compilation without the float model gives the same program, and lets go of what it was made from."""

import gc

import numpy as np
import onnx
import onnx_ir as ir
from small_graphs import model

from vla_isa import image
from vla_isa.hardware import load
from vlac import CompileOptions, compile_file


def test_the_same_program_without_the_float_model(tmp_path):
    rng = np.random.default_rng(0)
    body = "a = MatMul(x, w_let_go) n = LayerNormalization <axis = -1> (a, g) y = MatMul(n, v_let_go)"
    constants = {name: rng.standard_normal((32, 32)).astype(np.float32) for name in ("w_let_go", "v_let_go")}
    source = model(body, "float[5,32] x", "float[5,32] y", constants=constants | {"g": np.ones(32, np.float32)})
    onnx.save(ir.to_proto(source), tmp_path / "model.onnx")
    samples = {"x": rng.standard_normal((20, 5, 32)).astype(np.float32)}
    kept, without = (
        compile_file(tmp_path / "model.onnx", load("tiny"), CompileOptions(calibration=samples, keep_float=keep))
        for keep in (True, False)
    )
    assert floats(without)  # of the one that keeps them
    assert image.dumps(kept.program) == image.dumps(without.program)
    assert kept.quantized.floating is not None and kept.quantized.trial is not None
    assert without.quantized.floating is None and without.quantized.trial is None
    assert without.quantized.samples and without.quantized.model is without.model
    del kept, source
    assert not floats(without)


def floats(state):
    """Weights of here, in float, that are alive, but those of a compilation's quantized model."""
    gc.collect()
    mine = {id(v) for v in state.model.graph.initializers.values()}
    held = [v for v in gc.get_objects() if isinstance(v, ir.Value) and id(v) not in mine]
    ours = [v for v in held if "let_go" in (v.name or "") and v.const_value is not None]
    return [v for v in ours if v.const_value.size > 1000 and v.dtype == ir.DataType.FLOAT]
