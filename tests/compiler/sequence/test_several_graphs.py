"""Several graphs of one policy in one program, against the separate programs and against the whole graph in float."""

import re
from dataclasses import replace

import numpy as np
import onnx
import pytest
from blocks import Sequence
from on_device import snr
from test_carried_state import LENGTH, TOKENS, Decoder

import vlarun
from vla_isa import image
from vla_isa.errors import InputError, ProgramError
from vla_isa.hardware import load
from vla_toolchain import vlac_cli
from vla_toolchain.verify.reference import Reference
from vlac import CompileOptions
from vlac.errors import CalibrationError, ModelError, UnsupportedError
from vlac.graphs import compile_graphs
from vlarun.backends.base import run_once
from vlarun.backends.rtl import RtlBackend
from vlarun.backends.sim import SimBackend
from vlarun.compare import compare as first_difference
from vlarun.errors import BackendError

PREFIX = 6


class Policy:
    """A prompt at once and a token at a time behind it: equal weights, one cache."""

    def __init__(self):
        decoder = Decoder(llama=False)
        self.models = {"prompt": decoder.step(PREFIX), "token": decoder.step()}
        self.whole = decoder.whole()
        self.caches = [v.name for v in self.models["token"].graph.input][2:]
        made = {name: [v.name for v in m.graph.output] for name, m in self.models.items()}
        self.logits = {name: outputs[0] for name, outputs in made.items()}
        self.carry = [
            (f"token:{cache}", f"{name}:{made[name][1 + i]}")
            for name in self.models
            for i, cache in enumerate(self.caches)
        ]

    def options(self, rng):
        zeros = {n: np.zeros((1, 2, LENGTH, 16), np.float32) for n in self.caches}
        prompts = [
            {"tokens": rng.integers(0, TOKENS, (1, PREFIX)), "positions": np.arange(PREFIX)[None], **zeros}
            for _ in range(12)
        ]
        tokens = [
            {"tokens": rng.integers(0, TOKENS, (1, 1)), "positions": np.array([[i]])}
            for _ in prompts
            for i in range(PREFIX, LENGTH)
        ]
        return {
            "prompt": CompileOptions(calibration=prompts, check=True),
            "token": CompileOptions(calibration=tokens, check=True),
        }

    def compiled(self, config="tiny", seed=3):
        return compile_graphs(self.models, load(config), self.options(np.random.default_rng(seed)), self.carry)


@pytest.fixture(scope="module")
def policy():
    return Policy()


@pytest.fixture(scope="module")
def compiled(policy):
    return policy.compiled()


def runs(tokens):
    """What each run takes, the prompt first."""
    places = np.arange(LENGTH)[None]
    yield "prompt", {"tokens": tokens[:, :PREFIX], "positions": places[:, :PREFIX]}
    for i in range(PREFIX, LENGTH):
        yield "token", {"tokens": tokens[:, i : i + 1], "positions": places[:, i : i + 1]}


def test_a_prompt_and_the_tokens_behind_it(policy, compiled):
    tokens = np.random.default_rng(5).integers(0, TOKENS, (1, LENGTH))
    zeros = {n: np.zeros((1, 2, LENGTH, 16), np.float32) for n in policy.caches}
    session = vlarun.Session(image.loads(image.dumps(compiled.program)))
    alone = {name: vlarun.Session(part.program) for name, part in compiled.parts.items()}
    found, state = [], zeros
    for entry, inputs in runs(tokens):
        made = session.run({**inputs, **(zeros if entry == "prompt" else {})}, entry=entry)
        other = alone[entry].run({**inputs, **state})
        for name, array in other.items():
            assert np.array_equal(made[name], array), (entry, name)
        found.append(made[policy.logits[entry]][0])
        state = dict(zip(policy.caches, [a for n, a in other.items() if n != policy.logits[entry]], strict=True))
    (wanted,) = Reference(policy.whole).run({"tokens": tokens, "positions": np.arange(LENGTH)[None]}).values()
    assert snr(wanted[0], np.concatenate(found)) > 25


SEEN, ACTIONS, D, HEADS = 11, 5, 32, 2


def flow(*, split):
    """Keys and values of what is seen, once; and a step of a flow that attends to them and to itself.

    `split`: a cache of heads, [1, heads, length, channels of a head], as Hugging Face has it, and not of rows.
    """
    heads = {"q_num_heads": HEADS, "kv_num_heads": HEADS}
    g = Sequence("prefix")
    rows = g.norm(g.input("seen", (1, SEEN, D)), D)
    made = [g.linear(rows, D, D) for _ in range(2)]
    prefix = g.finished(*(g.split(x, SEEN, HEADS, D // HEADS) if split else x for x in made))
    g = Sequence("step")
    x = g.input("x", (1, ACTIONS, D))
    shape = (1, HEADS, SEEN, D // HEADS) if split else (1, SEEN, D)
    past = [g.input(name, shape) for name in ("past_key", "past_value")]
    q, *own = (g.linear(g.norm(x, D), D, D) for _ in range(3))
    if split:
        own = [g.split(y, ACTIONS, HEADS, D // HEADS) for y in own]
    k, v = (g.node("Concat", [*pair], D, axis=2 if split else 1) for pair in zip(past, own, strict=True))
    k, v = (g.joined(y, SEEN + ACTIONS, D) if split else y for y in (k, v))
    a = g.node("Attention", [q, k, v], D, **heads)
    speed = g.linear(g.norm(g.node("Add", [x, g.linear(a, D, D)], D), D), D, D)
    step = g.finished(g.node("Add", [x, g.node("Mul", [speed, g.constant(np.float32(0.25))], D)], D))
    return {"prefix": prefix, "step": step}


def flow_carry(models):
    keys, values = (v.name for v in models["prefix"].graph.output)
    return [
        ("step:past_key", f"prefix:{keys}"),
        ("step:past_value", f"prefix:{values}"),
        ("step:x", f"step:{models['step'].graph.output[0].name}"),
    ]


def flow_options(rng, count=10):
    seen = [{"seen": rng.standard_normal((1, SEEN, D), np.float32)} for _ in range(count)]
    noise = [{"x": rng.standard_normal((1, ACTIONS, D), np.float32)} for _ in range(2 * count)]
    return {
        "prefix": CompileOptions(calibration=seen, check=True),
        "step": CompileOptions(calibration=noise, check=True),
    }


def act(session, seen, noise, actions, steps=3):
    """A prefix and some steps; what the last step made, and what each run left in the session."""
    session.forget()
    session.run({"seen": seen}, entry="prefix")
    inputs = {"x": noise}
    for _ in range(steps):
        made = session.run(inputs, entry="step")
        inputs = {}
    return made[actions]


def flow_in_float(models, seen, noise, steps=3):
    names = [v.name for v in models["prefix"].graph.output]
    made = Reference(models["prefix"]).run({"seen": seen})
    past = {"past_key": made[names[0]], "past_value": made[names[1]]}
    for _ in range(steps):
        (noise,) = Reference(models["step"]).run({"x": noise, **past}).values()
    return noise


@pytest.fixture(scope="module", params=[False, True], ids=["rows", "heads"])
def models(request):
    return flow(split=request.param)


@pytest.fixture(scope="module")
def flowing(models):
    return compile_graphs(models, load("tiny"), flow_options(np.random.default_rng(1)), flow_carry(models))


def test_a_prefix_once_and_steps_of_a_flow(models, flowing):
    rng = np.random.default_rng(2)
    actions = models["step"].graph.output[0].name
    session = vlarun.Session(image.loads(image.dumps(flowing.program)))
    alone = {name: vlarun.Session(part.program) for name, part in flowing.parts.items()}
    for _ in range(2):
        seen, noise = (
            2 * rng.standard_normal((1, SEEN, D), np.float32),
            rng.standard_normal((1, ACTIONS, D), np.float32),
        )
        found = act(session, seen, noise, actions)
        keys, values = alone["prefix"].run({"seen": seen}).values()
        other = {actions: noise}
        for _ in range(3):
            other = alone["step"].run({"x": other[actions], "past_key": keys, "past_value": values})
        assert np.array_equal(found, other[actions])
        assert snr(flow_in_float(models, seen, noise), found) > 25


def test_what_a_step_leaves_out_is_what_the_prefix_makes(models, flowing):
    """Two samples of the step for each of the prefix."""
    keys = models["prefix"].graph.output[0].name
    seen = flow_options(np.random.default_rng(1))["prefix"].calibration
    filled = flowing.parts["step"].options.calibration
    for number, sample in enumerate(filled):
        made = Reference(models["prefix"]).run(seen[number // 2])
        np.testing.assert_allclose(sample["past_key"], made[keys], atol=1e-5)


def test_state_has_one_place_and_one_scale(flowing):
    prefix, step = (flowing.program.at(name) for name in ("prefix", "step"))
    made = {t.line: (t.scale, t.zero_point) for t in prefix.outputs}
    given = {t.name: (t.line, (t.scale, t.zero_point)) for t in step.inputs}
    assert {c.model_input: c.entry for c in step.carried} == {"past_key": "prefix", "past_value": "prefix", "x": None}
    assert not prefix.carried
    assert all(made[given[name][0]] == given[name][1] for name in ("past_key", "past_value"))


def moved_scale(graph):
    return replace(graph, inputs=[replace(t, scale=2 * t.scale) for t in graph.inputs])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda p: replace(p, others={"other": p.others["step"]}),
            "but graphs of other; all but",
        ),
        (lambda p: replace(p, others={"step": moved_scale(p.others["step"])}), "another layout, scale or zero point"),
    ],
    ids=["another", "scale"],
)
def test_a_file_of_graphs_that_do_not_fit_is_refused(flowing, change, text):
    data = image.dumps(change(flowing.program))
    with pytest.raises(ProgramError, match=text):
        image.loads(data)


def test_equal_weights_are_stored_once(compiled):
    """All layers of both graphs have the same weights: at most the words of what is equalized alone are there twice."""
    words = {name: {w.tobytes() for w in part.program.weights} for name, part in compiled.parts.items()}
    both = len(words["prompt"] | words["token"])
    assert len(compiled.program.weights) == both
    assert both < 1.2 * len(words["prompt"])


def test_what_cannot_be_one_program_is_refused(models):
    hw, options, carry = load("tiny"), flow_options(np.random.default_rng(1)), flow_carry(models)
    keys, values = (v.name for v in models["prefix"].graph.output)
    moved = models["step"].graph.output[0].name
    for wrong, text in (
        ([("step:past_keys", f"prefix:{keys}")], "no input 'past_keys'.*past_key"),
        ([("step:past_key", "prefix:nothing")], "no output 'nothing'"),
        ([("steps:past_key", f"prefix:{keys}")], "no entry point 'steps'.*step"),
        ([("past_key", keys)], "each end is ENTRY:NAME"),
        ([("step:x", f"prefix:{keys}")], r"float32 \[1, .*\] and float32 \[1, 5, 32\]"),
        ([("step:past_key", f"prefix:{keys}"), ("step:past_key", f"prefix:{values}")], "takes one output"),
        ([("step:past_key", f"prefix:{keys}"), ("prefix:seen", f"step:{moved}")], "in a circle"),
    ):
        with pytest.raises(ModelError, match=text):
            compile_graphs(models, hw, options, wrong)
    with pytest.raises(ModelError, match="at least two"):
        compile_graphs({"step": models["step"]}, hw, options, [])
    with pytest.raises(ModelError, match="neither ':'"):
        compile_graphs({"a:b": models["step"], "c": models["prefix"]}, hw, options, [])
    with pytest.raises(CalibrationError, match=r"graph 'step'.*past_key"):
        compile_graphs(models, hw, options, carry[1:])


def test_one_output_is_not_two_inputs_of_a_graph(models):
    keys = models["prefix"].graph.output[0].name
    carry = [("step:past_key", f"prefix:{keys}"), ("step:past_value", f"prefix:{keys}")]
    with pytest.raises(UnsupportedError, match="'past_key' and 'past_value' of 'step' would be one"):
        compile_graphs(models, load("tiny"), flow_options(np.random.default_rng(1)), carry)


def test_a_run_takes_what_its_entry_point_takes(flowing):
    session = vlarun.Session(flowing.program)
    with pytest.raises(InputError, match="seen"):
        session.run({"x": np.zeros((1, ACTIONS, D))}, entry="prefix")
    with pytest.raises(InputError, match=r"'past_\w+' is what entry point 'prefix' makes"):
        session.run({"x": np.zeros((1, ACTIONS, D))}, entry="step")
    with pytest.raises(ProgramError, match="no entry point 'steps'; it has prefix, step"):
        session.run({}, entry="steps")
    with pytest.raises(BackendError, match="several graphs"):
        vlarun.Session(flowing.program, backend="ref").run({"seen": np.zeros((1, SEEN, D))})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["a/step.onnx", "step.onnx"], "two entry points would be called 'step'"),
        (["step=a/step.onnx", "b.onnx", "--repeat", "2"], "--repeat is for one model"),
        (["step=a/step.onnx", "b.onnx", "--constants", "c.npz"], "--constants is for one model"),
        (["prefix.onnx", "step.onnx", "--calib", "data.npz"], "for example prefix=data.npz"),
        (["prefix.onnx", "step.onnx", "--calib", "stop=data.npz"], "no entry point 'stop'"),
        (["prefix.onnx", "step.onnx", "--calib", "random", "--calib", "step=x.npz"], "twice for 'step'"),
        (["prefix.onnx", "step.onnx", "--carry", "past"], "is not ENTRY:INPUT=ENTRY:OUTPUT"),
        (["step.onnx", "--calib", "random", "--calib", "random:2"], "2 times for one model"),
    ],
)
def test_command_lines_that_are_refused(tmp_path, monkeypatch, capsys, arguments, text):
    monkeypatch.chdir(tmp_path)
    assert vlac_cli.main(["compile", *arguments, "-o", "prog.bin"]) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "prog.bin").exists()


def test_the_command_line(models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, model in models.items():
        onnx.save(model, tmp_path / f"{name}.onnx")
    carry = [part for given, made in flow_carry(models) for part in ("--carry", f"{given}={made}")]
    arguments = ["prefix.onnx", "step.onnx", "-o", "prog.bin", "--config", "tiny", "--calib", "random:2"]
    assert vlac_cli.main(["compile", *arguments, *carry]) == 0
    said = capsys.readouterr().out
    assert "prog.bin: 2 entry points for 'tiny'" in said
    shown = re.split(r"\n  (?=prefix:|step:)", said)[1:]
    for text, (name, model) in zip(shown, models.items(), strict=True):
        found = re.findall(r"\w+ (\d+\.\d) dB", text.replace("\n      ", " "))
        assert text.startswith(f"{name}:") and len(found) == len(model.graph.output), text
        assert all(20 < float(snr) < 60 for snr in found), text
    assert list(image.load("prog.bin").entries) == ["prefix", "step"]


def test_the_machine_runs_every_entry_point_as_sim_does(models, flowing):
    """Each run, byte for byte in every memory; and it takes the cycles that the graph's own program takes."""
    rng = np.random.default_rng(3)
    session, sim, rtl = vlarun.Session(flowing.program), SimBackend(), RtlBackend()
    session.run({"seen": rng.standard_normal((1, SEEN, D), np.float32)}, entry="prefix")
    kept = {t.line: session.result.outputs[t.name] for t in flowing.program.outputs}
    for name in ("prefix", "step"):
        view, alone = flowing.program.at(name), flowing.parts[name].program
        inputs = {t.name: kept.get(t.line, rng.integers(-100, 100, t.layout.shape, np.int8)) for t in view.inputs}
        inputs = {t.name: inputs[t.name].astype(t.layout.type.dtype) for t in view.inputs}
        assert first_difference(view, (sim, rtl), inputs, name) is None
        assert run_once(rtl, view, inputs, name).cycles == run_once(rtl, alone, inputs).cycles


def test_the_widest_range_is_everyones(models):
    """Calibration data of the step has larger keys than the prefix makes: both get the scale that holds them."""
    rng, options = np.random.default_rng(1), flow_options(np.random.default_rng(1))
    shape = [d.dim_value for d in models["step"].graph.input[1].type.tensor_type.shape.dim]
    large = [{**s, "past_key": 40 * rng.standard_normal(shape, np.float32)} for s in options["step"].calibration]
    options["step"] = replace(options["step"], calibration=large)
    program = compile_graphs(models, load("tiny"), options, flow_carry(models)).program
    step = next(t for t in program.at("step").inputs if t.name == "past_key")
    prefix = next(t for t in program.at("prefix").outputs if t.line == step.line)
    most = max(float(np.abs(s["past_key"]).max()) for i, s in enumerate(large) if (i + 1) % 5)
    assert prefix.scale == step.scale == pytest.approx(most / 127)


def test_programs_of_several_heaps(models, monkeypatch):
    """Heaps lie anywhere in the data space, and jumps lead to where they are now."""
    monkeypatch.setattr("vlac.emit.write_program._PER_HEAP", 16)
    made = compile_graphs(models, load("tiny"), flow_options(np.random.default_rng(1)), flow_carry(models))
    assert len(made.program.heaps) > 4
    rng = np.random.default_rng(2)
    seen, noise = (rng.standard_normal((1, length, D), np.float32) for length in (SEEN, ACTIONS))
    actions = models["step"].graph.output[0].name
    found = act(vlarun.Session(made.program, check=True), seen, noise, actions)
    assert snr(flow_in_float(models, seen, noise), found) > 25
