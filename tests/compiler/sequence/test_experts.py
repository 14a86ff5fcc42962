"""A router's number chooses an expert on the device: SET, and the weights and records of that expert alone."""

from itertools import product

import numpy as np
import onnx
import pytest
from blocks import Sequence
from mixtures import (
    EXPERTS,
    HIDDEN,
    TEXT,
    D,
    chosen_image,
    chosen_result,
    chosen_rows,
    expert_layer,
    router,
    routing,
    several_layers,
    several_routers,
    static,
)
from on_device import drawn, snr
from parity import check_rtl, meaning

import vlarun
from vla_isa.encoding import decode
from vla_isa.generated.codes import Move
from vla_isa.hardware import load
from vla_isa.trace import packets
from vla_toolchain.verify.reference import Reference
from vlac import CompileOptions, compile_file
from vlarun.errors import MachineError

MODELS = {"rows": chosen_rows, "image": chosen_image, "int16": chosen_result}


def compiled(model, config="tiny", **how):
    rng = np.random.default_rng(2)
    calibration = how.pop("calibration", None) or [drawn(model, rng) for _ in range(16)]
    return compile_file(model, load(config), CompileOptions(calibration=calibration, check=True, **how))


def integers(state, inputs):
    names = {v.name for v in state.program.model_inputs}
    taken = {name: array for name, array in inputs.items() if name in names}
    return list(vlarun.Session(state.program, backend="sim").device_outputs(taken).values())


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("name", MODELS)
def test_every_expert_as_if_it_were_the_only_one(name, config):
    model, rng = MODELS[name](), np.random.default_rng(3)
    state = compiled(model, config)
    results = []
    for number in range(EXPERTS):
        inputs = drawn(model, rng) | {"text": routing(number, rng)}
        alone = compiled(static(state.quantized.qdq, [number]), config)
        (found,), (wanted,) = integers(state, inputs), integers(alone, inputs)
        assert np.array_equal(found, wanted)
        (real,), (meant,) = Reference(model).run(inputs).values(), meaning(state.graph, inputs).values()
        assert np.array_equal(found, meant)
        results.append(found)
        assert snr(real, next(iter(vlarun.Session(state.program).run(inputs).values()))) > 30
    assert all(not np.array_equal(results[0], other) for other in results[1:])


def test_only_one_expert_is_loaded_and_computed():
    state = compiled(chosen_rows())
    given = [decode(raw) for raw in packets(state.program)]
    copies = [p for p in given if p.name == "COPY" and p["index_enable"]]
    experts = [p for p in copies if p["move"] == Move.WEIGHT_TO_WEIGHT]
    assert len(experts) == 2
    assert [p["index_count"] for p in experts] == [EXPERTS] * 2
    assert all(p["index_stride"] == p["n0"] for p in experts)
    assert sum(s.op == "expert" for s in state.program.sources) == 1  # both layers read one number


@pytest.mark.parametrize("order", [(0, 1, 2, 0), (0, 1, 0, 1)])
def test_more_numbers_than_registers(order):
    model, rng = several_routers(order), np.random.default_rng(4)
    state = compiled(model)
    for numbers in product(range(3), repeat=1 + max(order)):
        inputs = drawn(model, rng) | {f"text{i}": routing(n, rng, 3) for i, n in enumerate(numbers)}
        alone = compiled(static(state.quantized.qdq, list(numbers)))
        assert np.array_equal(*integers(state, inputs), *integers(alone, inputs)), numbers


def test_the_rows_of_one_router():
    model, rng = several_layers(), np.random.default_rng(8)
    state = compiled(model)
    for numbers in ((0, 1, 2), (3, 3, 0), (2, 0, 3)):
        text = np.concatenate([routing(n, rng)[:, :EXPERTS] for n in numbers], axis=1)
        inputs = drawn(model, rng) | {"text": text}
        alone = compiled(static(state.quantized.qdq, list(numbers)))
        assert np.array_equal(*integers(state, inputs), *integers(alone, inputs)), numbers


def step(own):
    """x + 0.2 times two layers of an expert; of the first the expert is that of x, where `own`."""
    g = Sequence("step")
    x, text = g.input("x", (5, D)), g.input("text", (1, TEXT))
    row = g.node("ReduceMean", [x, g.constant(np.array([0]))], D, keepdims=1)
    first = router(g, g.node("Slice", [row, *(g.constant(np.array([n])) for n in (0, TEXT, 1))], TEXT)) if own else ""
    number = router(g, text)
    y = g.node("Relu", [expert_layer(g, x, first or number, D, HIDDEN)], HIDDEN)
    y = g.node("Mul", [expert_layer(g, y, number, HIDDEN, D), g.constant(np.float32(0.2))], D)
    return g.finished(g.node("Add", [x, y], D))


def refilled():
    """A condition's layer in front of the loop, whose number is in a register; the rounds need it and two more."""
    g = Sequence("refilled")
    x, condition = g.input("x", (5, D)), g.input("condition", (1, D))
    numbers = [router(g, g.input(name, (1, TEXT))) for name in ("text", "other", "last")]
    seen = expert_layer(g, condition, numbers[0], D, D)
    y = g.node("Add", [x, g.node("Expand", [seen, g.constant(np.array([5, D]))], D)], D)
    for number in numbers:
        y = g.node("Relu", [expert_layer(g, y, number, D, D)], D)
    return g.finished(g.node("Add", [x, g.linear(y, D, D, factor=0.2)], D))


@pytest.mark.parametrize("make", [lambda: step(False), lambda: step(True), refilled], ids=["once", "own", "refilled"])
def test_experts_in_a_loop(make):
    """Numbers that are made in front of the loop, and one that each round makes."""
    model, rng = make(), np.random.default_rng(9)
    calibration = [drawn(model, rng) | {"text": routing(i % EXPERTS, rng)} for i in range(12)]
    carry = {"x": model.graph.output[0].name}
    looped = compiled(model, calibration=calibration, carry=carry, repeat=6)
    quantized = looped.qdq
    for props in (quantized.metadata_props, *(v.metadata_props for v in quantized.graph.input)):
        del props[:]
    once = compiled(quantized, carry=carry)
    for number in range(EXPERTS):
        inputs = drawn(model, rng) | {"text": routing(number, rng)}
        session, (found,) = vlarun.Session(once.program), vlarun.Session(looped.program).run(inputs).values()
        for i in range(6):
            (wanted,) = session.run({n: a for n, a in inputs.items() if n != "x" or i == 0}).values()
        assert np.array_equal(found, wanted)


def numbered():
    """The expert's number is an input of the model."""
    g = Sequence("numbered")
    x = g.input("x", (3, D))
    g.inputs.append(onnx.helper.make_tensor_value_info("number", onnx.TensorProto.INT64, (1,)))
    scalar = g.node("Squeeze", ["number", g.constant(np.array([0]))], 1)
    return g.finished(expert_layer(g, x, scalar, D, 8))


def test_a_number_of_the_models_inputs():
    model, rng = numbered(), np.random.default_rng(5)
    calibration = [drawn(model, rng) | {"number": np.array([i % EXPERTS])} for i in range(16)]
    state = compiled(model, calibration=calibration)
    session = vlarun.Session(state.program)
    for number in range(EXPERTS):
        inputs = drawn(model, rng) | {"number": np.array([number])}
        (wanted,), (found,) = Reference(model).run(inputs).values(), session.run(inputs).values()
        assert snr(wanted, found) > 30
    with pytest.raises(MachineError, match="INDEX_RANGE"):
        session.run(inputs | {"number": np.array([EXPERTS])})


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
@pytest.mark.parametrize("name", MODELS)
def test_same_bytes_on_the_verilog_machine(name):
    model, rng = MODELS[name](), np.random.default_rng(6)
    state = compiled(model)
    for number in range(EXPERTS):
        check_rtl(state, drawn(model, rng) | {"text": routing(number, rng)})


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
def test_same_bytes_with_several_routers():
    model, rng = several_routers(), np.random.default_rng(7)
    numbers = {f"text{i}": routing(n, rng, 3) for i, n in enumerate((2, 0, 1))}
    check_rtl(compiled(model), drawn(model, rng) | numbers)


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
def test_same_bytes_of_the_layers_of_one_router():
    model, rng = several_layers(), np.random.default_rng(10)
    text = np.concatenate([routing(n, rng)[:, :EXPERTS] for n in (3, 0, 2)], axis=1)
    check_rtl(compiled(model), drawn(model, rng) | {"text": text})
