"""One graph, several sets of constant inputs: an entry point each, the bytes of the program that one alone makes."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from blocks import Sequence
from mixtures import EXPERTS, TEXT, D, chosen_image, chosen_rows, routing
from on_device import drawn

import vlarun
from vla_isa import image
from vla_isa.errors import InputError
from vla_isa.hardware import load
from vla_toolchain.vlac_cli import main
from vlac import CompileOptions, compile_file, compile_missions
from vlac.errors import ModelError
from vlac.graphs import CompiledGraphs
from vlarun.backends.rtl import RtlBackend
from vlarun.backends.sim import SimBackend
from vlarun.compare import compare as first_difference

MODELS = {"rows": chosen_rows, "image": chosen_image}


def options(model: onnx.ModelProto, **how) -> CompileOptions:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(2)
    return CompileOptions(calibration=[drawn(model, rng) for _ in range(16)], check=True, **how)


def texts() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {f"go to {number}": routing(number, rng) for number in range(EXPERTS)}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> onnx.ModelProto:
    return MODELS[request.param]()


@pytest.fixture(scope="module")
def missions(model: onnx.ModelProto) -> CompiledGraphs:
    given = {name: {"text": text} for name, text in texts().items()}
    return compile_missions(model, "tiny", given, options(model))


def test_each_is_the_program_that_its_constants_make_alone(model: onnx.ModelProto, missions: CompiledGraphs) -> None:
    session = vlarun.Session(image.loads(image.dumps(missions.program)))
    inputs, found = {"x": drawn(model, np.random.default_rng(4))["x"]}, []
    for name, text in texts().items():
        alone = compile_file(model, load("tiny"), options(model, constants={"text": text})).program
        assert image.dumps(missions.parts[name].program) == image.dumps(alone)
        mine, theirs = session.run(inputs, entry=name), vlarun.Session(alone).run(inputs)
        assert {n: a.tobytes() for n, a in mine.items()} == {n: a.tobytes() for n, a in theirs.items()}
        found.append(next(iter(mine.values())))
    assert list(session.program.entries) == list(texts())
    assert all(not np.array_equal(found[0], one) for one in found[1:])


def test_weights_of_equal_bytes_are_stored_once(missions: CompiledGraphs) -> None:
    """The experts differ, all else is of every mission."""
    words = [{w.tobytes() for w in part.program.weights} for part in missions.parts.values()]
    assert len(missions.program.weights) == len(set().union(*words)) < sum(map(len, words))
    assert missions.program.data_bytes < sum(part.program.data_bytes for part in missions.parts.values())


def test_the_machine_runs_an_entry_point_as_sim_does(model: onnx.ModelProto, missions: CompiledGraphs) -> None:
    x = drawn(model, np.random.default_rng(5))["x"]
    for name in list(texts())[1:3]:
        view = missions.program.at(name)
        (given,) = view.inputs
        integers = {given.name: np.clip(np.rint(x / given.scale) + given.zero_point, -128, 127).astype(np.int8)}
        assert first_difference(view, (SimBackend(), RtlBackend()), integers, name) is None


def test_missions_may_fix_other_inputs_and_one_is_enough() -> None:
    """What one has as a constant is an input of the other."""
    model, text = chosen_rows(), texts()["go to 1"]
    x = drawn(model, np.random.default_rng(6))["x"]
    half = {"words": {"text": text}, "seen": {"x": x}}
    with pytest.raises(InputError, match="unknown input 'txt'"):
        compile_missions(model, "tiny", half | {"wrong": {"txt": text}}, options(model))
    session = vlarun.Session(compile_missions(model, "tiny", half, options(model)).program)
    (mine,), (other,) = (
        session.run(inputs, entry=name).values() for name, inputs in (("words", {"x": x}), ("seen", {"text": text}))
    )
    (one,) = (
        vlarun.Session(compile_missions(model, "tiny", {"words": half["words"]}, options(model)).program)
        .run({"x": x}, entry="words")
        .values()
    )
    assert mine.tobytes() == other.tobytes() == one.tobytes()


def some_model() -> onnx.ModelProto:
    g = Sequence("some")
    return g.finished(g.linear(g.node("Concat", [g.input("text", (1, TEXT)), g.input("x", (1, D))], 36, axis=1), 36, 8))


@pytest.mark.parametrize(
    ("given", "how", "error", "message"),
    [
        ({}, {}, ModelError, "0 missions are given; a program has 1 to 256"),
        ({f"m{n}": {"text": np.zeros((1, TEXT))} for n in range(257)}, {}, ModelError, "257 missions.*1 to 256"),
        ({"a:b": {"text": np.zeros((1, TEXT))}}, {}, ModelError, "entry point 'a:b': a name has"),
        ({"a" * 101: {"text": np.zeros((1, TEXT))}}, {}, ModelError, "1 to 100 printable"),
        ({"go": {}}, {}, ModelError, "entry point 'go' has no constant input"),
        ({"go": {"txt": np.zeros((1, TEXT))}}, {}, InputError, "entry point 'go': unknown input 'txt'.*mean 'text'"),
        ({"go": {"text": np.zeros((1, 3))}}, {}, InputError, r"entry point 'go': .*shape \[1, 3\]; expected"),
        ({"go": {"text": np.zeros((1, TEXT))}}, {"allow_host": True}, ModelError, "leave out --allow-host"),
        ({"go": {"text": np.zeros((1, TEXT))}}, {"constants": {"x": 0}}, ModelError, "for all missions and for each"),
    ],
)
def test_what_is_no_mission_is_refused(given, how, error, message) -> None:  # type: ignore[no-untyped-def]
    model = some_model()
    with pytest.raises(error, match=message):
        compile_missions(model, "tiny", given, options(model, **how))


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(some_model(), "m.onnx")
    for number in range(2):
        np.savez(f"{number}.npz", text=np.full((1, TEXT), number, np.float32))
    np.savez("none.npz")
    arguments = ["compile", "m.onnx", "-o", "p.bin", "--config", "tiny", "--calib", "random"]
    wrong = {
        ("a=0.npz", "1.npz"): "'1.npz' has no entry point's name and 'a' is one",
        ("0.npz", "1.npz"): "is given 2 times without names",
        ("a=0.npz", "a=1.npz"): "'a' is given twice, '0.npz' and '1.npz'",
        ("a=", "b=1.npz"): "'a=' is not ENTRY=DATA.npz",
        ("a=2.npz", "b=1.npz"): "'2.npz' cannot be read: No such file",
        ("./a=0.npz",): "'a=0.npz' cannot be read",
        ("none.npz",): "'none.npz' holds no array",
    }
    for files, message in wrong.items():
        assert main([*arguments, *(part for file in files for part in ("--constants", file))]) == 2
        assert message in capsys.readouterr().err and not Path("p.bin").exists()
    both = ["--constants", "a=0.npz", "--constants", "b=1.npz"]
    assert main([*arguments, *both, "--sensitivity"]) == 2
    assert "--sensitivity is not for --constants of several entry points" in capsys.readouterr().err
    assert main([*arguments, *both, "--verify", "--rounding", "half-up"]) == 2
    assert "--verify cannot judge" in capsys.readouterr().err
    assert main([*arguments, *both, "--verify"]) == 0
    said = capsys.readouterr().out
    assert "with inputs that are constants beside the program that takes them:" in said
    assert len(re.findall(r"\n  [ab]: .*: at most 0 LSB, 100.000 % equal", said)) == 2
    assert "p.bin: 2 entry points for 'tiny'" in said and "\n  b: " in said
    assert list(image.load(Path("p.bin")).entries) == ["a", "b"]
