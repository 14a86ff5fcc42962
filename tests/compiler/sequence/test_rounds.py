"""A repeated model as one program with a LOOP: the same bytes as its runs one after the other."""

import numpy as np
import onnx
import pytest
from blocks import Sequence
from on_device import snr

import vlarun
from vla_isa import hazards, timing
from vla_isa.generated.codes import Move
from vla_isa.hardware import load
from vla_isa.trace import walk
from vla_toolchain.verify.reference import Reference
from vlac import CompileOptions, compile_file
from vlac.errors import CalibrationError, ModelError

ROWS, KEYS, D, HEADS, STEPS = 9, 6, 32, 2, 10
INT64 = onnx.TensorProto.INT64


def flow(steps=STEPS):
    """One Euler step of a small flow policy: cross attention over a condition, a row of time for each step."""
    g = Sequence("flow")
    x, condition = g.input("x", (1, ROWS, D)), g.input("condition", (1, KEYS, D))
    g.inputs.append(onnx.helper.make_tensor_value_info("step", INT64, (1,)))
    seen = g.norm(condition, D)
    k, v = (g.linear(seen, D, D) for _ in range(2))
    time = g.node("Gather", [g.constant(g.normal(steps, D)), "step"], D)
    y = g.node("Add", [g.norm(x, D), g.node("Reshape", [time, g.constant(np.array([1, 1, D]))], D)], D)
    a = g.node("Attention", [g.linear(y, D, D), k, v], D, q_num_heads=HEADS, kv_num_heads=HEADS)
    hidden = g.node("Gelu", [g.linear(a, D, 2 * D)], 2 * D)
    velocity = g.linear(hidden, 2 * D, D)
    dt = g.node("Mul", [velocity, g.constant(np.float32(1 / STEPS))], D)
    return g.finished(g.node("Add", [x, dt], D))


def samples(model, rng, count):
    """Inputs of all steps of some trajectories, and where each ends, in float."""
    reference, found = Reference(model), []
    for _ in range(count):
        x, condition = (rng.standard_normal((1, n, D)).astype(np.float32) for n in (ROWS, KEYS))
        for step in range(STEPS):
            found.append({"x": x, "condition": condition, "step": np.array([step])})
            (x,) = reference.run(found[-1]).values()
        found.append({"x": x})
    return found


def repeated(config="tiny", **how):
    """Calibrated with where trajectories begin."""
    model, rng = flow(), np.random.default_rng(1)
    calibration = [{n: s[n] for n in ("x", "condition")} for s in samples(flow(), rng, 8) if s.get("step") == 0]
    how = {"repeat": STEPS, "counter": "step"} | how
    carry = {"x": model.graph.output[0].name}
    return compile_file(model, load(config), CompileOptions(calibration=calibration, carry=carry, check=True, **how))


def both(config):
    """The program of all rounds, and that of one of them, of the same quantized model."""
    state = repeated(config)
    quantized = state.qdq
    for props in (quantized.metadata_props, *(v.metadata_props for v in quantized.graph.input)):
        del props[:]
    carry = {"x": quantized.graph.output[0].name}
    return state.program, compile_file(quantized, load(config), CompileOptions(carry=carry)).program


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_a_loop_is_its_runs_one_after_the_other(config):
    looped, once = both(config)
    *inputs, end = samples(flow(), np.random.default_rng(2), 1)
    session = vlarun.Session(once)
    for i, step in enumerate(inputs):
        wanted = session.run({n: a for n, a in step.items() if n != "x" or i == 0})
    found = vlarun.Session(looped).run({n: inputs[0][n] for n in ("x", "condition")})
    assert found.keys() == wanted.keys() and all(np.array_equal(found[n], wanted[n]) for n in found)
    assert snr(end["x"], next(iter(found.values()))) > 20
    hazards.check(looped)


def test_what_does_not_depend_on_the_state_runs_once():
    """The condition's norm, keys and values, and their copies into weights."""
    looped, once = both("tiny")
    packets = [len(list(walk(p, 0))) for p in (once, looped)]
    assert packets[1] < 0.8 * STEPS * packets[0]
    assert timing.estimate(looped).total_cycles < STEPS * timing.estimate(once).total_cycles


def test_what_stays_on_chip_is_loaded_once_and_stored_once():
    """The state, and inputs and constants that nothing changes."""
    looped, _ = both("u50")
    copies = [s.packet for s in walk(looped, 0) if s.packet.name == "COPY"]
    loads = [p["src"] for p in copies if p["move"] == Move.DATA_TO_ACT]
    assert loads and len(loads) == len(set(loads))
    assert sum(p["move"] == Move.ACT_TO_DATA for p in copies) == 1


def euler(kind):
    """A small flow policy of all its steps: as one Loop, as one Scan, or its one step beside them."""
    rng = np.random.default_rng(6)
    w = [(rng.standard_normal(s) / s[0] ** 0.5).astype(np.float32) for s in ((D, 2 * D), (2 * D, D))]
    rows = rng.standard_normal((STEPS, D)).astype(np.float32)
    constants = [onnx.numpy_helper.from_array(a, n) for n, a in (("up", w[0]), ("down", w[1]), ("rows", rows))]
    constants += [onnx.numpy_helper.from_array(np.array(a), n) for n, a in (("count", STEPS), ("yes", True))]
    constants.append(onnx.numpy_helper.from_array(np.full((1, 1), 1 / STEPS, np.float32), "dt"))
    step = """
        a = Add(x, time)
        h = MatMul(a, up)
        t = Tanh(h)
        v = MatMul(t, down)
        d = Mul(v, dt)
        x1 = Add(x, d)
    """
    text = {
        "Loop": f"""
        end = Loop<body = g (int64 i, bool going, float[1,{D}] x) => (bool on, float[1,{D}] x1) {{
            on = Identity(going)
            time = Gather(rows, i) {step} }}>(count, yes, start)
        """,
        "Scan": f"""
        end = Scan<num_scan_inputs = 1, body = g (float[1,{D}] x, float[{D}] time) => (float[1,{D}] x1) {{ {step} }}>
            (start, rows)
        """,
        "step": "time = Gather(rows, i)\n" + step.replace("x,", "start,").replace("x1", "end"),
    }[kind]
    inputs = f"float[1,{D}] start" + (", int64 i" if kind == "step" else "")
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 21]> m ({inputs}) => (float[1,{D}] end) {{ {text} }}'
    )
    used = {n for node in model.graph.node for n in node.input}
    used |= {n for node in model.graph.node for a in node.attribute for m in a.g.node for n in m.input}
    model.graph.initializer.extend(c for c in constants if c.name in used)
    return model


def unrolled(*, differs=(), read=None):
    """All steps of `euler` one behind another; steps of `differs` have weights of their own, `read` is returned too."""
    step = euler("step")
    model = onnx.ModelProto()
    model.CopyFrom(step)
    weights = {t.name: t for t in step.graph.initializer}
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.input.pop()
    for i in range(STEPS):
        names = {"start": f"end{i - 1}" if i else "start", "end": f"end{i}" if i < STEPS - 1 else "end", "i": f"i{i}"}
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(i), names["i"]))
        for t in weights.values():  # once for each step, as exporters fold them
            array = onnx.numpy_helper.to_array(t) * (1.5 if i in differs and t.name == "up" else 1)
            model.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), f"{t.name}{i}"))
        for node in step.graph.node:
            copy = model.graph.node.add()
            copy.CopyFrom(node)
            copy.name = ""
            for values in (copy.input, copy.output):
                values[:] = [names.get(v, f"{v}{i}") for v in values]
    if read is not None:
        model.graph.output.append(onnx.helper.make_tensor_value_info(read, onnx.TensorProto.FLOAT, (1, D)))
    return model


def test_unrolled_steps_are_a_loop():
    """The same bytes as the step that the user repeats; ONNX Runtime runs all steps."""
    rng = np.random.default_rng(2)
    calibration = [{"start": rng.standard_normal((1, D)).astype(np.float32)} for _ in range(32)]
    whole = compile_file(unrolled(), load("tiny"), CompileOptions(calibration=calibration, check=True))
    step = CompileOptions(calibration=calibration, carry={"start": "end"}, repeat=STEPS, counter="i")
    once = compile_file(euler("step"), load("tiny"), step).program
    start = {"start": rng.standard_normal((1, D)).astype(np.float32)}
    found = vlarun.Session(whole.program).run(start)["end"]
    assert whole.graph.repeat == STEPS
    assert np.array_equal(found, vlarun.Session(once).run(start)["end"])
    assert snr(Reference(unrolled()).run(start)["end"], found) > 25


@pytest.mark.parametrize("how", [{"differs": (3,)}, {"read": "end4"}, {"read": "t2"}], ids=str)
def test_steps_that_are_not_equal_stay(how):
    rng = np.random.default_rng(2)
    calibration = [{"start": rng.standard_normal((1, D)).astype(np.float32)} for _ in range(32)]
    state = compile_file(unrolled(**how), load("tiny"), CompileOptions(calibration=calibration, check=True))
    assert state.graph.repeat == 1
    start = {"start": rng.standard_normal((1, D)).astype(np.float32)}
    found, wanted = vlarun.Session(state.program).run(start), Reference(unrolled(**how)).run(start)
    assert all(snr(wanted[name], found[name]) > 25 for name in wanted)


def joined():
    """A step whose state is joined of two parts: what it was, changed, and what is made of it."""
    g = Sequence("joined")
    x = g.input("start", (1, 4, D))
    old, new = (g.node("Slice", [x, *(g.constant(np.array([v])) for v in (a, a + 2, 1))], D) for a in (0, 2))
    made = g.linear(g.node("Gelu", [g.linear(old, D, D)], D), D, D)
    moved = g.node("Add", [g.node("Mul", [old, g.constant(np.float32(0.5))], D), new], D)
    return g.finished(g.node("Concat", [moved, made], D, axis=1))


@pytest.mark.parametrize("repeat", [1, 3])
def test_state_that_is_joined_of_parts(repeat):
    """The device makes all of it, though nothing but an output follows; a session hands it on as rounds do."""
    rng = np.random.default_rng(4)
    calibration = [{"start": rng.standard_normal((1, 4, D)).astype(np.float32)} for _ in range(16)]
    end = joined().graph.output[0].name
    how = CompileOptions(calibration=calibration, carry={"start": end}, repeat=repeat, check=True)
    state = compile_file(joined(), load("tiny"), how)
    start = {"start": rng.standard_normal((1, 4, D)).astype(np.float32)}
    reference, x = Reference(joined()), start
    for _ in range(3):
        x = {"start": reference.run(x)[end]}
    session, given = vlarun.Session(state.program), start
    for _ in range(3 // repeat):
        found, given = session.run(given)[end], {}
    assert snr(x["start"], found) > 25


@pytest.mark.parametrize("kind", ["Loop", "Scan"])
def test_loop_and_scan_of_onnx(kind):
    """The same bytes as the step that the user repeats; ONNX Runtime runs the whole."""
    rng = np.random.default_rng(2)
    calibration = [{"start": rng.standard_normal((1, D)).astype(np.float32)} for _ in range(32)]
    options = {"calibration": calibration, "check": True}
    whole = compile_file(euler(kind), load("tiny"), CompileOptions(**options)).program
    step = CompileOptions(**options, carry={"start": "end"}, repeat=STEPS, counter="i")
    once = compile_file(euler("step"), load("tiny"), step).program
    start = {"start": rng.standard_normal((1, D)).astype(np.float32)}
    found = vlarun.Session(whole).run(start)["end"]
    assert np.array_equal(found, vlarun.Session(once).run(start)["end"])
    assert snr(Reference(euler(kind)).run(start)["end"], found) > 25


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({"counter": "x"}, "one int32 or int64"),
        ({"counter": "y"}, "no such input"),
        ({"repeat": 0}, "--repeat 0"),
    ],
)
def test_refused(how, text):
    with pytest.raises(ModelError, match=text):
        repeated(**how)


def test_too_few_rows_are_refused():
    with pytest.raises(CalibrationError, match="idx=10"):
        repeated(repeat=STEPS + 1)


def test_nothing_carried_is_refused():
    with pytest.raises(ModelError, match="no state is carried"):
        compile_file(flow(), load("tiny"), CompileOptions(calibration="random:1", repeat=2))
