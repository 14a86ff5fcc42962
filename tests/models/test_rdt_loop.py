"""RDT's sampler as a loop of one step."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rdt_samples import CAMERA, SIDE, TASK, made, write_sentences
from vla_datasets.keys import STATE
from vla_models.chunks.names import ACTIONS
from vla_models.rdt.preprocess import RdtPreprocessor


def test_steps_in_a_loop_say_the_same(tmp_path: Path) -> None:
    """From the same noise; its program is one step that is repeated, near the float chunk."""
    import torch

    import vlarun
    from vla_isa import image
    from vla_models.export_onnx import export_onnx
    from vlac import CompileOptions, compile_file

    sentences = str(write_sentences(tmp_path / "text"))
    plain, looped = (made(embeddings=sentences, sampler_loop=loop) for loop in (False, True))
    seen = {STATE: np.linspace(-1, 1, 14, dtype=np.float32), CAMERA: np.full((SIDE, SIDE, 3), 99, np.uint8)}
    said = []
    for policy in (plain, looped):
        preprocessor = RdtPreprocessor(policy.config)
        preprocessor.reset(TASK, seed=3)
        inputs = preprocessor.inputs(seen)
        with torch.no_grad():
            chunk = policy.graphs()[0].module(*map(torch.from_numpy, inputs.values())).numpy()
        said.append(preprocessor.actions({ACTIONS: chunk}))
    assert np.abs(said[0]).max() > 0.1
    assert np.allclose(*said, atol=1e-5)
    export_onnx(looped, tmp_path / "model.onnx")
    calibration = {name: value.numpy() for name, value in looped._example(16, seed=1).items()}
    compiled = compile_file(tmp_path / "model.onnx", "tiny", CompileOptions(calibration=calibration))
    assert compiled.graph is not None and compiled.graph.repeat == 5
    image.save(compiled.program, tmp_path / "p.bin")
    chunk = vlarun.Session(str(tmp_path / "p.bin")).run(inputs)[ACTIONS]
    found = preprocessor.actions({ACTIONS: chunk})
    assert np.abs(found - said[1]).max() < 0.1 * np.abs(said[1]).max()
