"""Inputs that are known at compile time: the bytes of a program that gets them, and nothing of them left in it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from blocks import Sequence
from mixtures import EXPERTS, TEXT, D, chosen_image, chosen_rows, routing, several_layers
from on_device import drawn
from parity import check_rtl, meaning

import vlarun
from vla_isa.encoding import decode
from vla_isa.errors import InputError
from vla_isa.hardware import load
from vla_isa.trace import packets
from vla_toolchain.verify.constants import verify_constants
from vla_toolchain.vlac_cli import main
from vlac import CompileOptions, compile_file
from vlac.errors import UnsupportedError


def modulated():
    """An image whose channels a text scales and shifts, behind a function that the host computes of the text."""
    g = Sequence("modulated")
    text, x = g.input("text", (1, TEXT)), g.input("x", (1, 8, 6, 6))
    half = g.node("Div", [text, g.constant(np.float32(2))], TEXT)
    words = g.node("Relu", [g.linear(half, TEXT, 16)], 16)
    scale, shift = (g.linear(words, 16, 8) for _ in range(2))
    for part, op in ((scale, "Mul"), (shift, "Add")):
        row = g.node("Reshape", [part, g.constant(np.array([1, 8, 1, 1]))], 8)
        x = g.node(op, [x, row], 8)
    first, flat = g.node("Flatten", [words], 16), g.node("Flatten", [x], 288)
    return g.finished(words, g.node("Concat", [first, flat], 304, axis=1))


MODELS = {"rows": chosen_rows, "image": chosen_image, "layers": several_layers, "modulated": modulated}


def compiled(model: onnx.ModelProto, config: str = "tiny", **how):
    rng = np.random.default_rng(2)
    calibration = [drawn(model, rng) for _ in range(16)]
    return compile_file(model, load(config), CompileOptions(calibration=calibration, check=True, **how))


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("name", MODELS)
def test_the_bytes_of_a_program_that_gets_the_input(name: str, config: str) -> None:
    model, rng = MODELS[name](), np.random.default_rng(3)
    routed = compiled(model, config)
    found = []
    for number in range(EXPERTS):
        inputs = drawn(model, rng) | {"text": np.tile(routing(number, rng)[:, :EXPERTS], 3)}
        fixed = compiled(model, config, constants={"text": inputs.pop("text")})
        session, other = vlarun.Session(fixed.program), vlarun.Session(routed.program)
        mine, theirs = session.run(inputs), other.run(inputs | {"text": fixed.options.constants["text"]})
        assert list(mine) == list(theirs) == [value.name for value in model.graph.output]
        assert all(mine[name].tobytes() == theirs[name].tobytes() for name in mine)
        assert [v.name for v in fixed.program.model_inputs] == ["x"]
        integers = session.device_outputs(inputs)
        assert all(np.array_equal(values, integers[key]) for key, values in meaning(fixed.graph, inputs).items())
        assert session.stats["cycles"] < other.stats["cycles"]
        found.append(list(mine.values())[-1])
    assert all(not np.array_equal(found[0], one) for one in found[1:])


def test_experts_that_are_not_chosen_are_left_out() -> None:
    model = chosen_rows()
    text = routing(2, np.random.default_rng(0))
    routed, fixed = compiled(model), compiled(model, constants={"text": text})
    sizes = [sum(len(s.data) for s in state.program.weights) for state in (routed, fixed)]
    assert sizes[1] < sizes[0] / 2
    given = [decode(raw) for raw in packets(fixed.program)]
    assert not any(p.name in ("SET", "REDUCE") or (p.name == "COPY" and p["index_enable"]) for p in given)
    check_rtl(fixed, {"x": drawn(model, np.random.default_rng(1))["x"]})


@pytest.mark.parametrize(
    ("constants", "how", "error", "message"),
    [
        ({"txt": np.zeros((1, TEXT))}, {}, InputError, "unknown input 'txt'.*Did you mean 'text'"),
        ({"text": np.zeros((1, 3))}, {}, InputError, r"'text' has shape \[1, 3\]; expected \[1, 12\]"),
        ({"text": np.full((1, TEXT), np.nan)}, {}, InputError, "every value must be finite"),
        ({"text": np.zeros((5, TEXT))}, {}, UnsupportedError, "'text': found values of 5 runs; a program has one"),
        ({"text": np.zeros((1, TEXT))}, {"allow_host": True}, UnsupportedError, "do not go together"),
    ],
)
def test_what_cannot_be_a_constant_is_refused(constants, how, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        compiled(chosen_rows(), constants=constants, **how)


def test_a_state_is_no_constant() -> None:
    g = Sequence("state")
    x, old = g.input("x", (1, D)), g.input("old", (1, D))
    new = g.node("Relu", [g.linear(g.node("Add", [x, old], D), D, D)], D)
    model = g.finished(new)
    with pytest.raises(UnsupportedError, match="state that a run hands to the next"):
        compiled(model, carry={"old": model.graph.output[0].name}, constants={"x": np.zeros((1, D))})


def test_a_number_that_chooses_rows_is_no_constant() -> None:
    g = Sequence("rows")
    x, rows = g.input("x", (1, 3, D)), g.embedding(g.numbers("ids", 3), 64, D)
    model = g.finished(g.node("Add", [g.linear(x, D, D), rows], D))
    with pytest.raises(UnsupportedError, match="input 'ids' chooses rows or experts by number"):
        compiled(model, constants={"ids": np.array([[1, 2, 3]])})


def joined(direct: str) -> onnx.ModelProto:
    """Concats along the axes of channels and of rows, of an input and a text, and of two things that follow from it."""
    g = Sequence("joined")
    text, x = g.input("text", (1, 3, D)), g.input("x", (1, 5, D))
    rows = g.node("Concat", [text, x], D, axis=1)
    words = g.node("Concat", [g.node("Relu", [g.linear(text, D, 8)], 8), g.linear(text, D, 16)], D, axis=2)
    more = g.node("Concat", [g.linear(rows, D, D), words], D, axis=1)
    return g.finished(more, g.node("Identity", [{"text": text, "x": x}[direct]], D))


@pytest.mark.parametrize("direct", ["text", "x"])
def test_what_is_joined_with_constants_and_what_is_passed_through(direct: str) -> None:
    model = joined(direct)
    inputs = drawn(model, np.random.default_rng(7))
    fixed = compiled(model, constants={"text": inputs["text"]})
    mine = vlarun.Session(fixed.program).run({"x": inputs["x"]})
    theirs = vlarun.Session(compiled(model).program).run(inputs)
    assert list(mine) == list(theirs)
    assert all((a.dtype, a.tobytes()) == (theirs[n].dtype, theirs[n].tobytes()) for n, a in mine.items())
    assert np.array_equal(mine[model.graph.output[1].name], inputs[direct])
    check_rtl(fixed, {"x": inputs["x"]})


def test_nothing_is_left_to_compute() -> None:
    inputs = drawn(chosen_rows(), np.random.default_rng(5))
    with pytest.raises(UnsupportedError, match="follows from its constant inputs; leave one out"):
        compiled(chosen_rows(), constants=inputs)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, program, constants = tmp_path / "m.onnx", tmp_path / "p.bin", tmp_path / "text.npz"
    onnx.save(chosen_rows(), model)
    np.savez(constants, text=routing(1, np.random.default_rng(0)))
    arguments = ["compile", str(model), "-o", str(program), "--config", "tiny", "--calib", "random"]
    assert main([*arguments, "--constants", str(constants)]) == 0
    assert "other values of the constant inputs" in capsys.readouterr().out
    program.unlink()
    wrong = {
        ("--constants", str(tmp_path / "none.npz")): "cannot be read: No such file",
        ("--constants", str(model)): "is no whole .npz file of plain arrays",
        ("--constants", str(constants), "--sensitivity"): "compile without --constants for it",
    }
    for more, message in wrong.items():
        assert main([*arguments, *more]) != 0
        assert message in capsys.readouterr().err and not program.exists()


def test_it_is_verified_beside_the_program_that_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, program, constants = tmp_path / "m.onnx", tmp_path / "p.bin", tmp_path / "text.npz"
    onnx.save(chosen_rows(), model)
    np.savez(constants, text=routing(1, np.random.default_rng(0)))
    arguments = ["compile", str(model), "-o", str(program), "--config", "tiny", "--calib", "random"]
    assert main([*arguments, "--constants", str(constants), "--verify"]) == 0
    said = capsys.readouterr().out
    assert "verified" in said and "with inputs that are constants beside the program that takes them:" in said
    assert "at most 0 LSB, 100.000 % equal" in said


def test_a_program_of_other_constants_is_a_fault() -> None:
    model, rng = chosen_rows(), np.random.default_rng(0)
    one, other = (compiled(model, constants={"text": routing(n, rng)}) for n in (1, 2))
    found = verify_constants(one.program, {"": one}, lambda step: None)
    assert found.constants and not found.faults(exact=False)
    wrong = verify_constants(other.program, {"": one}, lambda step: None)
    assert any("with constant inputs it is another program" in fault for fault in wrong.faults(exact=False))
