"""A compilation without the float model gives the same program, and lets go of what it was made from."""

import numpy as np
import onnx
import onnx_ir as ir
from small_graphs import model

from vla_isa import image
from vla_isa.hardware import load
from vlac import CompileOptions, compile_file


def test_the_same_program_without_the_float_model(tmp_path):
    rng = np.random.default_rng(0)
    body = "a = MatMul(x, w) n = LayerNormalization <axis = -1> (a, g) y = MatMul(n, v)"
    constants = {name: rng.standard_normal((32, 32)).astype(np.float32) for name in "wv"}
    source = model(body, "float[5,32] x", "float[5,32] y", constants=constants | {"g": np.ones(32, np.float32)})
    onnx.save(ir.to_proto(source), tmp_path / "model.onnx")
    samples = {"x": rng.standard_normal((20, 5, 32)).astype(np.float32)}
    kept, without = (
        compile_file(tmp_path / "model.onnx", load("tiny"), CompileOptions(calibration=samples, keep_float=keep))
        for keep in (True, False)
    )
    assert image.dumps(kept.program) == image.dumps(without.program)
    assert kept.quantized.floating is not None and kept.quantized.trial is not None
    assert without.quantized.floating is None and without.quantized.trial is None
    assert without.quantized.samples and without.quantized.model is without.model
