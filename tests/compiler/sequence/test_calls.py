"""The calls of an observation on a program of several graphs: state that two graphs leave, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from blocks import Sequence
from on_device import snr
from test_several_graphs import ACTIONS, SEEN, D, Policy, flow, flow_carry, flow_options

import vlarun
from vla_isa.hardware import load
from vla_toolchain.verify.reference import Reference
from vlac import CompileOptions
from vlac.errors import ModelError
from vlac.graphs import compile_graphs
from vlac.model.policy_graphs import CARRIES, GRAPH, said_carries
from vlarun.calls import Call, plan_calls
from vlarun.errors import InputError


def test_state_that_a_prompt_and_a_token_leave_is_given_to_neither_token():
    """The caches begin as the caller's zeros for the prompt alone; before the first token they are the prompt's."""
    policy = Policy()
    session = vlarun.Session(policy.compiled().program)
    calls = plan_calls(session, ["prompt", "token", "token"], ["tokens", "positions", *policy.caches])
    assert [set(call.given) - {"tokens", "positions"} for call in calls] == [set(policy.caches), set(), set()]


def test_a_prefix_makes_the_state_with_which_a_step_begins():
    """A recurrent cell: its first state is a product of what is seen. The program against a loop in float."""
    g = Sequence("prefix")
    prefix = g.finished(g.linear(g.input("seen", (1, D)), D, D))
    g = Sequence("step")
    x = g.input("x", (1, D))
    step = g.finished(g.node("Tanh", [g.linear(x, D, D)], D))
    models = {"prefix": prefix, "step": step}
    first, moved = (models[name].graph.output[0].name for name in models)
    rng = np.random.default_rng(4)
    options = {
        "prefix": CompileOptions(calibration=[{"seen": rng.standard_normal((1, D), np.float32)} for _ in range(20)]),
        "step": CompileOptions(calibration=[{} for _ in range(20)]),
    }
    carry = [("step:x", f"prefix:{first}"), ("step:x", f"step:{moved}")]
    session = vlarun.Session(compile_graphs(models, load("tiny"), options, carry).program)
    calls = plan_calls(session, ["prefix", "step", "step", "step"], ["seen"], [moved])
    assert [call.given for call in calls] == [("seen",), (), (), ()]
    for _ in range(2):  # the second observation begins with its own state
        seen = rng.standard_normal((1, D), np.float32)
        (wanted,) = Reference(prefix).run({"seen": seen}).values()
        for call in calls:
            found = session.run(dict.fromkeys(call.given, seen), entry=call.entry)
        for _ in range(3):
            (wanted,) = Reference(step).run({"x": wanted}).values()
        assert snr(wanted, found[moved]) > 20


@pytest.fixture(scope="module")
def flowing():
    models = flow(split=False)
    program = compile_graphs(models, load("tiny"), flow_options(np.random.default_rng(1)), flow_carry(models)).program
    return vlarun.Session(program), models["step"].graph.output[0].name


def test_what_a_policy_and_a_program_do_not_share_is_refused(flowing):
    session, actions = flowing
    steps = ["prefix", "step"]
    assert plan_calls(session, steps, ["seen", "x"], [actions])[1] == Call("step", ("x",))
    for entries, made, read, text in (
        (steps, ["seen"], [], "'step' takes 'x', which nothing makes"),
        (["step"], ["x"], [], "'step' takes 'past_key', which nothing makes"),
        (steps, ["seen", "x", "goal"], [], "makes 'goal', which none of prefix, step takes"),
        (steps, ["seen", "x"], ["speed"], "reads 'speed', which none of prefix, step makes"),
        (["prefix"], ["seen"], [actions], f"reads '{actions}', which none of prefix makes"),
    ):
        with pytest.raises(InputError, match=text):
            plan_calls(session, entries, made, read)


def test_an_input_takes_one_output_of_its_own_graph():
    """Of two the last one would have been it, in silence."""
    models = flow(split=False)
    moved = models["step"].graph.output[0]
    twice = onnx.ModelProto()
    twice.CopyFrom(models["step"])
    twice.graph.node.add(op_type="Neg", input=[moved.name], output=["back"])
    twice.graph.output.add(name="back").type.CopyFrom(moved.type)
    carry = [*flow_carry(models), ("step:x", "step:back")]
    with pytest.raises(ModelError, match=rf"step:x=step:{moved.name} and step:x=step:back.* of its own graph"):
        compile_graphs({**models, "step": twice}, "tiny", flow_options(np.random.default_rng(1)), carry)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"a": ("prefix", "{}"), "b": ("prefix", "{}")}, "'a' and 'b' both say .* that they are 'prefix'"),
        ({"a": ("step", '{"y": "step.x", "y": "step.z"}')}, "a name is there twice"),
        ({"a": ("step", json.dumps({"y": ["step.x"]}))}, "must be a table"),
        ({"a": ("step", "[" * 100_000)}, "is no JSON"),
    ],
)
def test_metadata_that_says_two_things_is_refused(said, text):
    with pytest.raises(ModelError, match=text):
        said_carries({entry: {GRAPH: name, CARRIES: carries} for entry, (name, carries) in said.items()})


def test_a_client_forgets_between_its_episodes(flowing):
    """A run after `forget` is that of a new session, also where zero is not the integer 0."""
    session, actions = flowing
    rng = np.random.default_rng(6)
    seen, noise = rng.standard_normal((1, SEEN, D), np.float32), rng.standard_normal((1, ACTIONS, D), np.float32)
    fresh = vlarun.Session(replace(session.program))
    found = []
    for each in (session, fresh):
        if each is session:
            each.run({"seen": seen}, entry="prefix")
            each.run({"x": noise}, entry="step")
            each.forget()
        each.run({"seen": -seen}, entry="prefix")
        found.append(each.run({}, entry="step")[actions])
    assert np.array_equal(*found)
