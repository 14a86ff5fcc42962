"""Models with nodes that only the host can run: with --allow-host near ONNX Runtime's float, without it one message."""

import numpy as np
import onnx
import onnxruntime
import pytest
from host_models import MODELS, WHOLE
from host_nodes import Numbers
from host_reports import ON_THE_DEVICE, REPORTS
from refusals import compile_refused

from vla_isa import package
from vla_toolchain.vlac_cli import main
from vlarun import open_session

LEAST = 25.0  # dB, of real outputs
OPEN = {"detector": ("chosen", "boxes"), "non_zero_tail": ("y",)}  # outputs without a fixed shape


def runs(model, feeds):
    """Every sample through ONNX Runtime, as one dictionary of outputs per sample; and the samples."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    shapes = {i.name: i.shape for i in session.get_inputs()}
    count = len(next(iter(feeds.values())))
    samples = [{n: np.asarray(a[i]).reshape(shapes[n]) for n, a in feeds.items()} for i in range(count)]
    names = [o.name for o in session.get_outputs()]
    return samples, [dict(zip(names, session.run(None, s), strict=True)) for s in samples]


def snr(wanted, found):
    noise = sum(float(((a.astype(np.float64) - b) ** 2).sum()) for a, b in zip(wanted, found, strict=True))
    signal = sum(float((a.astype(np.float64) ** 2).sum()) for a in wanted)
    return 10 * np.log10(signal / noise) if noise else np.inf


def save(make, folder):
    model, feeds = make(Numbers())
    onnx.save(model, folder / "m.onnx")
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
    twice = {n: np.concatenate([a, a]).reshape(-1, *shapes[n]) for n, a in feeds.items()}
    np.savez(folder / "calib.npz", **twice)  # so that none is seen by a held-out fifth only
    return model, feeds


@pytest.mark.parametrize("make", [*MODELS, *REPORTS], ids=lambda m: m.__name__)
def test_near_onnx_runtime(make, tmp_path, capsys):
    model, feeds = save(make, tmp_path)
    arguments = ["compile", tmp_path / "m.onnx", "-o", tmp_path / "p.bin", "--calib", tmp_path / "calib.npz"]
    assert main([str(a) for a in (*arguments, "--allow-host", "--verify")]) == 0
    printed = capsys.readouterr()
    assert "cycles on the device" in printed.out and " ms on the host" in printed.out
    assert "Skipping" not in printed.err, "a library's log"
    check(model, feeds, tmp_path / "p.bin", OPEN.get(make.__name__, ()))


def check(model, feeds, program, left_out=()):
    """Every output of a program beside ONNX Runtime's, but those whose size differs between runs."""
    samples, wanted = runs(model, feeds)
    session = open_session(program)
    found = [session.run(s) for s in samples]
    for name in wanted[0]:
        pairs = [(w[name], f[name]) for w, f in zip(wanted, found, strict=True)]
        assert all(w.dtype == f.dtype for w, f in pairs)
        if name not in left_out:
            assert all(w.shape == f.shape for w, f in pairs)
            assert snr(*zip(*pairs, strict=True)) >= LEAST, name


@pytest.mark.parametrize("make", [*WHOLE, *ON_THE_DEVICE], ids=lambda m: m.__name__)
def test_no_host_part_is_needed(make, tmp_path, capsys):
    model, feeds = save(make, tmp_path)
    arguments = ["compile", tmp_path / "m.onnx", "-o", tmp_path / "p.bin", "--calib", tmp_path / "calib.npz"]
    assert main([str(a) for a in (*arguments, "--verify")]) == 0
    check(model, feeds, tmp_path / "p.bin")


@pytest.mark.parametrize("make", [*MODELS, *REPORTS], ids=lambda m: m.__name__)
def test_refused_without_the_flag(make, tmp_path, capsys):
    save(make, tmp_path)
    compile_refused(
        capsys, tmp_path, tmp_path / "m.onnx", "--allow-host", extra=("--calib", str(tmp_path / "calib.npz"))
    )


def test_open_tail_is_what_onnx_runtime_makes_of_its_inputs(tmp_path, capsys):
    """The end without fixed shapes, on the boxes and scores that the device made."""
    from host_models import detector

    model, feeds = save(detector, tmp_path)
    arguments = ["compile", tmp_path / "m.onnx", "-o", tmp_path / "p.bin", "--calib", tmp_path / "calib.npz"]
    assert main([str(a) for a in (*arguments, "--allow-host")]) == 0
    parts = package.load(tmp_path / "p.bin")
    assert [v.shape for v in parts.outputs] == [(-1, 3), (1, -1, 4), (1, 2)]
    samples, wanted = runs(model, feeds)
    session = open_session(tmp_path / "p.bin")
    for sample, want in zip(samples, wanted, strict=True):
        found = session.run(sample)
        same = {tuple(row) for row in found["chosen"]} & {tuple(row) for row in want["chosen"]}
        assert len(same) >= 0.8 * len(want["chosen"]) > 0
        assert found["boxes"].shape == (1, len(found["chosen"]), 4)
