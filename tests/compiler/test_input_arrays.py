"""One reading of a user's arrays: calibration, `vlarun` and the Python interface take the same, in the same sense."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import vlac
from vla_isa import image
from vla_isa.errors import BadUsageError, InputError
from vla_isa.input_arrays import names_of, read_all, read_npz, read_runs
from vla_isa.signature import Value
from vla_toolchain.constants_argument import read_constants
from vla_toolchain.vlarun_cli import main
from vlac.errors import CalibrationError
from vlac.quantize.calibration import names_in, read_samples
from vlarun import open_session

WANTED = [Value("x", (1, 4), "float32"), Value("state", (2, 3), "float32"), Value("pixel", (1, 2), "uint8")]


def arrays(runs: int = 3, **changes: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    given = {
        "x": rng.integers(-9, 10, (runs, 4)).astype(np.float32),
        "state": rng.integers(0, 10, (runs, 2, 3)).astype(np.float32),
        "pixel": rng.integers(0, 256, (runs, 2)).astype(np.uint8),
    }
    return {name: array for name, array in (given | changes).items() if array is not None}


def model() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["pixel"], ["p"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["p", "k"], ["q"]),
        helper.make_node("Gemm", ["x", "w"], ["a"]),
        helper.make_node("Gemm", ["q", "v"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
        helper.make_node("Relu", ["state"], ["next"]),
    ]
    kinds = [helper.np_dtype_to_tensor_dtype(np.dtype(v.dtype)) for v in WANTED]
    infos = [helper.make_tensor_value_info(v.name, kind, v.shape) for v, kind in zip(WANTED, kinds, strict=True)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])]
    outputs.append(helper.make_tensor_value_info("next", TensorProto.FLOAT, [2, 3]))
    rng = np.random.default_rng(1)
    constants = {"w": rng.standard_normal((4, 5)), "v": rng.standard_normal((2, 5)), "k": np.array(1 / 255)}
    tensors = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "three", infos, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def entrances(given: dict[str, Any], program: Path, folder: Path) -> list[Any]:
    """What calibration, the command and the session make of arrays: samples and outputs, or the error's text."""
    np.savez(folder / "in.npz", **given)
    found: list[Any] = []
    for source in (given, str(folder / "in.npz")):
        try:
            found.append(read_samples(source, WANTED))
        except CalibrationError as e:
            found.append(str(e))
    try:
        found.append(open_session(program).run(given))
    except InputError as e:
        found.append(str(e))
    if main([str(program), "--input", str(folder / "in.npz"), "--output", str(folder / "out.npz")]) == 0:
        found.append(dict(np.load(folder / "out.npz")))
    return found


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model from memory, for a config by name, calibrated with arrays."""
    path = tmp_path_factory.mktemp("program") / "p.bin"
    image.save(vlac.compile_model(model(), "tiny", vlac.CompileOptions(calibration=arrays(64))), path)
    return path


SAME = {
    "float64": {"x": np.float64, "state": np.float64, "pixel": np.float64},
    "float16": {"x": np.float16, "state": np.float16, "pixel": np.float16},
    "int8 and int64": {"x": np.int8, "state": np.int64, "pixel": np.int64},
    "int16": {"x": np.int16, "state": np.uint8, "pixel": np.uint16},
}


@pytest.mark.parametrize("name", SAME)
def test_a_dtype_changes_nothing(name: str, program: Path, tmp_path: Path) -> None:
    plain, other = arrays(), {n: arrays()[n].astype(t) for n, t in SAME[name].items()}
    wanted, found = entrances(plain, program, tmp_path), entrances(other, program, tmp_path)
    assert len(wanted) == len(found) == 4
    for a, b in zip(wanted, found, strict=True):
        a, b = ([a], [b]) if isinstance(a, dict) else (a, b)
        for one, two in zip(a, b, strict=True):
            for key, values in one.items():
                np.testing.assert_array_equal(values, two[key])
                assert values.dtype == two[key].dtype


def test_shapes_mean_the_same(program: Path, tmp_path: Path) -> None:
    plain = arrays()
    extra = plain | {"x": plain["x"][:, None], "pixel": plain["pixel"][:, None]}
    for a, b in zip(entrances(plain, program, tmp_path), entrances(extra, program, tmp_path), strict=True):
        if isinstance(a, dict):
            assert a["y"].shape == (3, 5) and a["next"].shape == (3, 2, 3)
            np.testing.assert_array_equal(a["y"], b["y"])
        else:
            assert [{n: v.shape for n, v in s.items()} for s in a] == [{v.name: v.shape for v in WANTED}] * 3


def test_an_array_without_a_run_axis_is_given_to_every_run(program: Path, tmp_path: Path) -> None:
    one = arrays()["state"][0]
    repeated = entrances(arrays(state=np.stack([one] * 3)), program, tmp_path)
    for a, b in zip(repeated, entrances(arrays(state=one), program, tmp_path), strict=True):
        for first, second in zip([a] if isinstance(a, dict) else a, [b] if isinstance(b, dict) else b, strict=True):
            for name, values in first.items():
                np.testing.assert_array_equal(values, second[name])


def test_one_run_keeps_the_model_s_shapes(program: Path) -> None:
    given = {n: a[0].reshape(v.shape) for (n, a), v in zip(arrays().items(), WANTED, strict=True)}
    assert {n: a.shape for n, a in open_session(program).run(given).items()} == {"y": (1, 5), "next": (2, 3)}


REFUSED = {
    "missing": ({"x": None}, "input 'x' is missing"),
    "unknown": ({"z": np.zeros(3)}, "unknown input 'z'"),
    "shape": ({"x": np.zeros((3, 5))}, r"input 'x' has shape \[3, 5\]; expected \[1, 4\], or \[N, 4\] or \[N, 1, 4\]"),
    "no runs": ({"x": np.zeros((0, 4))}, r"shape \[0, 4\]"),
    "counts": ({"x": np.zeros((2, 4))}, "disagree on how often to run: 'x' 2, 'state' 3, 'pixel' 3"),
    "text": ({"x": np.full((3, 4), "a")}, "dtype <U1; give numbers"),
    "complex": ({"x": np.zeros((3, 4), np.complex64)}, "dtype complex64; give numbers"),
    "nan": ({"x": np.full((3, 4), np.nan)}, r"'x' is nan at \[0, 0\]"),
    "too large": ({"x": np.full((3, 4), 1e39)}, "float32 holds no such number"),
    "no pixel": ({"pixel": np.full((3, 2), 256)}, "'pixel' holds 256, outside 0..255"),
    "below": ({"pixel": np.full((3, 2), -1.0)}, "'pixel' holds -1"),
    "a fraction": ({"pixel": np.full((3, 2), 0.5)}, "give whole numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_alike(name: str, program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes, message = REFUSED[name]
    found = entrances(arrays(**changes), program, tmp_path)
    assert len(found) == 3 and not (tmp_path / "out.npz").exists()
    for text in (*found, capsys.readouterr().err):
        assert re.search(message, text), text


def test_a_sequence_of_mappings_is_its_samples() -> None:
    given = arrays()
    found = read_samples([{n: a[i : i + 1] for n, a in given.items()} for i in range(3)], WANTED)
    for a, b in zip(found, read_samples(given, WANTED), strict=True):
        for key, values in a.items():
            np.testing.assert_array_equal(values, b[key])
    with pytest.raises(CalibrationError, match="calibration sample 1: input 'x' is missing"):
        read_samples([given, {"state": given["state"], "pixel": given["pixel"]}], WANTED)
    for wrong in (5, np.zeros(3), (x for x in ()), [1]):
        with pytest.raises(CalibrationError, match=f"calibration data is {type(wrong).__name__}; give a file"):
            read_samples(wrong, WANTED)  # type: ignore[arg-type]
    with pytest.raises(CalibrationError, match="at least one such mapping"):
        read_samples([], WANTED)


def test_random_samples_fit_the_dtype() -> None:
    samples = read_samples("random:20", [*WANTED, Value("flag", (9,), "bool"), Value("ids", (9,), "int64")])
    pixels = np.stack([s["pixel"] for s in samples])
    assert pixels.dtype == np.uint8 and pixels.min() < 32 and pixels.max() > 223
    assert {int(i) for s in samples for i in s["ids"]} == {0, 1} and samples[0]["flag"].dtype == np.bool_


def bomb(path: Path, shape: tuple[int, ...], size: int, name: str = "x") -> None:
    """A file whose member says that it has `shape`, and holds `size` zero bytes behind its header."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{name}.npy", "w") as f:
        f.write(header.getvalue())
        for _ in range(size >> 20):
            f.write(bytes(1 << 20))


@pytest.mark.parametrize(
    ("shape", "size", "message"),
    [
        ((1 << 20, 5), 20 << 20, r"has shape \[1048576, 5\]"),
        ((1, 4), 64 << 20, "no whole .npz file"),
        ((1 << 50, 4), 1 << 20, "no whole .npz file"),
    ],
)
def test_a_file_that_unpacks_to_more_is_refused_unread(
    shape: tuple[int, ...], size: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb(tmp_path / "bomb.npz", shape, size)
    monkeypatch.setattr(np.lib.format, "read_array", lambda *a, **k: pytest.fail("elements were read"))
    with pytest.raises(InputError, match=message):
        read_npz(tmp_path / "bomb.npz", WANTED[:1])


def test_results_do_not_share_memory_with_the_inputs() -> None:
    x = np.zeros((1, 4), np.float32)
    runs = read_runs(WANTED[:1], {"x": x})
    (given,) = runs.items()
    assert np.may_share_memory(given["x"], x)
    joined = runs.joined([{"same": given["x"], "part": given["x"][:, 1:], "other": np.ones(3)}])
    assert not any(np.may_share_memory(a, x) for a in joined.values())


def test_what_is_optional_is_zero() -> None:
    runs = read_runs(WANTED, arrays(state=None), {"state"})
    assert runs.count == 3 and (runs.arrays["state"] == 0).all()


def member(header: bytes = b"", compression: int = zipfile.ZIP_STORED) -> tuple[bytes, int]:
    """One array as a file of an archive, or a header alone."""
    file = io.BytesIO()
    np.save(file, np.ones((1, 4), np.float32))
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    return (start if header else file.getvalue()), compression


def damaged(content: bytes, compression: int, folder: Path, *names: str) -> bytearray:
    with zipfile.ZipFile(folder / "d.npz", "w", compression) as archive:
        for name in names or ("x.npy",):
            archive.writestr(name, content)
    return bytearray((folder / "d.npz").read_bytes())


def test_whatever_is_wrong_with_an_archive_is_a_refusal(tmp_path: Path) -> None:
    locked = damaged(*member(), tmp_path)
    locked[6] |= 1  # encrypted, says the file's own header ...
    locked[locked.find(b"PK\x01\x02") + 8] |= 1  # ... and the directory
    broken = damaged(*member(compression=zipfile.ZIP_LZMA), tmp_path)
    broken[60:90] = bytes(30)
    unread = damaged(*member(b"(" * 9000), tmp_path)
    twice = damaged(*member(), tmp_path, "x.npy", "x")
    for content, message in ((locked, "whole"), (broken, "whole"), (unread, "whole"), (twice, "in the file twice")):
        (tmp_path / "d.npz").write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_npz(tmp_path / "d.npz", WANTED[:1])
        with pytest.raises(InputError, match=message):
            read_all(tmp_path / "d.npz")
        with pytest.raises(BadUsageError, match=f"--constants: .*{message}"):
            read_constants(tmp_path / "d.npz")


def test_arrays_of_inputs_that_are_not_known_yet(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.ones((2, 7), np.int16), y=np.float32(3))
    found = read_all(tmp_path / "d.npz")
    assert found["x"].tolist() == [[1] * 7] * 2 and found["x"].dtype == np.int16 and found["y"] == 3
    assert names_of(tmp_path / "d.npz") == {"x", "y"} == names_in(tmp_path / "d.npz")
    np.savez(tmp_path / "d.npz", x=np.array(["red"]))
    with pytest.raises(InputError, match="input 'x' has dtype <U3; give numbers"):
        read_all(tmp_path / "d.npz")
    (tmp_path / "d.npz").write_bytes(b"PK")
    with pytest.raises(CalibrationError, match=r"no whole \.npz file"):
        names_in(tmp_path / "d.npz")


@pytest.mark.parametrize(
    ("given", "message"), [(np.zeros(4), "the inputs are ndarray; give a mapping"), (None, "None")]
)
def test_inputs_are_a_mapping(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_runs(WANTED[:1], given)


def test_rows_of_different_lengths() -> None:
    with pytest.raises(InputError, match="input 'x' is no array"):
        read_runs(WANTED[:1], {"x": [[1, 2], [3]]})


def test_an_unknown_method_of_calibration() -> None:
    options = vlac.CompileOptions(calibration=arrays(), calibration_method="max")
    with pytest.raises(CalibrationError, match="unknown calibration method 'max'; there are minmax"):
        vlac.compile_model(model(), "tiny", options)
