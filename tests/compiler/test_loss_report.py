"""How far a program is from the float model: parts of an output, held-out samples, what every compile prints."""

import re

import numpy as np
import pytest
from clamped_nets import normals
from qdq_graphs import model_with
from verified import compile_file, line_of, small

import vlarun
from vla_toolchain.verify.loss import output_loss, parts_of
from vla_toolchain.verify.reference import Reference
from vlac.quantize.held_out import split

# --- parts of an output --------------------------------------------------------------------------------------


def test_parts_of_an_axis_whose_values_differ_in_size():
    rng = np.random.default_rng(0)
    sizes = np.repeat([300.0, 1.0, 20.0], [4, 10, 6])
    values = rng.standard_normal((50, 20)) * sizes
    assert parts_of((values**2).sum(axis=0), 50) == [(0, 3), (4, 13), (14, 19)]
    alike = rng.standard_normal((4, 1000)) * 3
    assert parts_of((alike**2).sum(axis=0), 4) == [(0, 999)]
    assert parts_of(np.zeros(5), 4) == [(0, 4)]


def test_a_part_that_is_lost_is_named():
    rng = np.random.default_rng(1)
    wanted = [np.concatenate([rng.uniform(0, 400, (1, 4, 30)), rng.random((1, 6, 30))], axis=1) for _ in range(3)]
    found = [np.rint(w / 2) * 2 for w in wanted]
    loss = output_loss("y", [w.astype(np.float32) for w in wanted], found)
    assert [(p.axis, p.first, p.last) for p in loss.parts] == [(1, 4, 9)] and loss.snr > 40
    assert re.fullmatch(r"output 'y', channels 4\.\.9: -?\d\.\d dB \(whole 4\d\.\d dB\)", loss.warnings[0])
    turned = output_loss("y", [w.swapaxes(1, 2).astype(np.float32) for w in wanted], [f.swapaxes(1, 2) for f in found])
    assert [(p.axis, p.first, p.last) for p in turned.parts] == [(2, 4, 9)]
    assert not output_loss("y", [w.astype(np.float32) for w in wanted], [w + 1e-4 for w in wanted]).parts


def test_silent_channels_are_named_only_where_they_are_loud():
    wanted = [np.concatenate([np.random.default_rng(0).standard_normal((1, 8, 40)), np.zeros((1, 4, 40))], axis=1)]
    quiet, loud = wanted[0].copy(), wanted[0].copy()
    for array, size in ((quiet, 1e-4), (loud, 0.5)):
        array += np.random.default_rng(1).standard_normal(array.shape) * 0.01
        array[:, 8:] = size
    wanted = [wanted[0].astype(np.float32)]
    assert not output_loss("y", wanted, [quiet]).parts
    assert [(p.first, p.last) for p in output_loss("y", wanted, [loud]).parts] == [(8, 11)]


@pytest.mark.parametrize(("shape", "axis", "size"), [((1, 1, 60, 20), 2, 0.01), ((1, 60, 20), 1, 1e-6)])
def test_rows_of_a_map_that_is_almost_nothing_there_are_not_named(shape, axis, size):
    """A Sigmoid far from what it finds; a row of an image is no part of it, however quiet."""
    rng = np.random.default_rng(0)
    values = rng.random(shape)
    rows = [slice(None)] * len(shape)
    rows[axis] = slice(20, 60)
    values[tuple(rows)] *= size
    found = np.rint(values * 255) / 255
    assert not output_loss("map", [values.astype(np.float32)], [found]).parts
    values[tuple(rows)] *= 0.01 / size
    loss = output_loss("map", [values.astype(np.float32)], [np.rint(values * 255) / 255])
    assert bool(loss.parts) == (len(shape) == 3)


def test_integers_are_counted():
    wanted, found = [np.arange(10)], [np.arange(10) + (np.arange(10) < 3)]
    loss = output_loss("index", wanted, found)
    assert str(loss) == "index 70.0 % equal" and loss.warnings == ["output 'index': 70.0 % equal"]
    assert not output_loss("index", wanted, wanted).warnings


# --- what every compile prints -------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "held"), [(1, []), (4, []), (5, [4]), (9, [4]), (10, [4, 9]), (23, [4, 9, 14, 19])])
def test_a_fifth_is_held_out(count, held):
    samples = [{"x": np.float32(i)} for i in range(count)]
    used, out = split(samples, "data.npz")
    assert [int(s["x"]) for s in out] == held
    assert [int(s["x"]) for s in used] == [i for i in range(count) if i not in held]
    assert split(samples, "random:23") == (samples, []) and split(samples, "random") == (samples, [])


def saved(tmp_path, count):
    np.savez(tmp_path / "calib.npz", **normals(count, x=(1, 8, 10, 10)))
    return tmp_path / "calib.npz"


def test_held_out_samples_are_measured_as_if_unseen(tmp_path, capsys):
    """The fifth of five samples is far larger than the others: the scales hold it, the SNR is that without it."""
    data = normals(5, x=(1, 8, 10, 10))
    data["x"][4] *= 100
    np.savez(tmp_path / "calib.npz", **data)
    assert compile_file(small(), tmp_path, "--calib", tmp_path / "calib.npz") == 0
    captured = capsys.readouterr()
    assert "on 1 sample held out from calibration: y " in line_of(captured.out)
    assert re.search(r"^warning: output 'y': -?\d\.\d dB$", captured.err, re.M)
    assert vlarun.Session(tmp_path / "p.bin").program.inputs[0].scale > 100 / 128


def test_the_snr_is_that_of_the_held_out_samples(tmp_path, capsys):
    """Computed here once more: with programs made of the other eight samples, and of all ten; the worse one counts."""
    model, calib = small(), saved(tmp_path, 10)
    held, samples = [4, 9], np.load(calib)["x"]
    np.savez(tmp_path / "others.npz", x=np.delete(samples, held, axis=0))
    snrs = []
    for data in (tmp_path / "others.npz", calib):
        assert compile_file(model, tmp_path, "--calib", data) == 0
        session = vlarun.Session(tmp_path / "p.bin")
        wanted = np.concatenate([Reference(model).run({"x": x})["y"] for x in samples[held]])
        noise = np.concatenate([session.run({"x": x})["y"] for x in samples[held]]) - wanted
        snrs.append(10 * np.log10((wanted.astype(np.float64) ** 2).sum() / (noise.astype(np.float64) ** 2).sum()))
    line = line_of(capsys.readouterr().out.rpartition("p.bin:")[2])
    found = re.fullmatch(r"SNR to the float model on 2 samples held out from calibration: y (\S+) dB", line)
    assert found is not None and abs(float(found[1]) - min(snrs)) < 0.1


def test_few_samples_and_random_ones_are_said_to_be_so(tmp_path, capsys):
    assert compile_file(small(), tmp_path, "--calib", saved(tmp_path, 4)) == 0
    out = capsys.readouterr().out
    assert "on 4 samples of the calibration data itself" in line_of(out) and "guess" not in out
    assert compile_file(small(), tmp_path, "--calib", "random:3") == 0
    out = capsys.readouterr().out
    assert "of other random numbers" in line_of(out)
    assert "its scales are a guess (--calib random)" in out.splitlines()[0]


def test_a_file_called_random_is_a_file(tmp_path, capsys, monkeypatch):
    saved(tmp_path, 4).rename(tmp_path / "random_frames.npz")
    monkeypatch.chdir(tmp_path)
    assert compile_file(small(), tmp_path, "--calib", "random_frames.npz") == 0
    assert "on 4 samples of the calibration data itself" in line_of(capsys.readouterr().out)


def test_a_quantized_model_has_no_float_model_to_compare_with(tmp_path, capsys):
    assert compile_file(model_with(lambda g, x: g.qdq(x)), tmp_path) == 0
    out = capsys.readouterr().out
    assert "SNR" not in out and "guess" not in out
