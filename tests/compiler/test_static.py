"""From a float model and samples to a QDQ model: which samples count where, and what is refused."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from small_graphs import model

from vlac import CompileOptions
from vlac.errors import CalibrationError, ModelError
from vlac.quantize.held_out import split
from vlac.quantize.rounding import rounding_of, set_rounding
from vlac.quantize.static import is_quantized, quantize_model

W = {"w": np.float32([[1], [2], [3], [4]])}


def layer():
    return model("y = MatMul(x, w)", constants=W)


def data(*scales):
    return {"x": np.float32([[s, 0, 0, -s] for s in scales])}


def scales(found):
    """Of every value that is rounded."""
    quantizers = [n for n in found.graph if n.op_type == "QuantizeLinear"]
    return {n.inputs[0].name: float(n.inputs[1].const_value.numpy()) for n in quantizers}


# --- samples that are held out ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "held"), [(1, []), (4, []), (5, [4]), (9, [4]), (10, [4, 9]), (12, [4, 9])])
@pytest.mark.parametrize("source", [Path("random:12"), "data.npz", "folder:random", {}])
def test_every_fifth_sample_is_held_out(count, held, source):
    samples = [{"x": np.array(i)} for i in range(count)]
    kept, out = split(samples, source)
    assert [int(s["x"]) for s in out] == held
    assert [int(s["x"]) for s in kept] == [i for i in range(count) if i not in held]


@pytest.mark.parametrize("source", ["random", "random:12"])
def test_random_numbers_are_not_held_out(source):
    samples = [{"x": np.array(i)} for i in range(12)]
    assert split(samples, source) == (samples, [])


def test_a_program_has_the_ranges_of_all_samples_and_its_trial_those_of_the_others():
    found = quantize_model(layer(), CompileOptions(calibration=data(1, 1, 2, 1, 8)))
    assert len(found.samples) == 4 and len(found.held_out) == 1
    assert scales(found.model)["x"] == pytest.approx(16 / 255)
    assert scales(found.trial())["x"] == pytest.approx(4 / 255)
    assert found.ranges.values["x"] == (-8, 8)
    few = quantize_model(layer(), CompileOptions(calibration=data(1, 2)))
    assert few.trial is None and few.held_out == []


def test_pixels_have_the_range_of_their_type_in_both():
    """uint8 / 255 is in 0..1, whatever the samples hold."""
    body = "a = Cast <to = 1> (x) b = Div(a, c) y = MatMul(b, w)"
    source = model(body, "uint8[1,4] x", constants=W | {"c": np.float32(255)})
    pixels = {"x": np.uint8([[9, 0, 1, 2]] * 5)}
    found = quantize_model(source, CompileOptions(calibration=pixels))
    for made in (found.model, found.trial()):
        assert scales(made)["b"] == pytest.approx(1 / 255)
    assert found.ranges.values["b"] == (0, 1) and found.ranges.values["y"] == pytest.approx((20 / 255, 20 / 255))


# --- what is left alone and what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize("op", ["QuantizeLinear", "DequantizeLinear"])
def test_a_quantized_model_stays(op):
    body, kind = {"QuantizeLinear": ("y = QuantizeLinear(x, s)", "float"),
                  "DequantizeLinear": ("y = DequantizeLinear(x, s)", "int8")}[op]  # fmt: skip
    result = "int8[1,4] y" if kind == "float" else "y"
    source = model(body, f"{kind}[1,4] x", result, constants={"s": np.float32(1)})
    assert is_quantized(source) and not is_quantized(layer())
    found = quantize_model(source, CompileOptions())
    assert found.model is source and found.floating is None and found.reference is None


def test_a_model_without_outputs_stays():
    source = layer()
    source.graph.outputs.clear()
    assert quantize_model(source, CompileOptions()).model is source


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "is float and has no calibration data"),
        ({"calibration": data(1), "calibration_method": "most"}, "unknown calibration method 'most'"),
        ({"calibration": data(1e-9, np.inf)}, "every value must be finite"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(CalibrationError, match=message):
        quantize_model(layer(), CompileOptions(**options))


def test_a_value_that_no_scale_holds_is_named():
    source = model("a = ReduceMean <axes = [0]> (x) b = Log(a) y = MatMul(b, w)", constants=W)
    with pytest.raises(CalibrationError, match="value 'b' is not finite"):
        quantize_model(source, CompileOptions(calibration=data(1)))


def test_layers_on_the_host_stay_float():
    source = model("a = MatMul(x, v) y = MatMul(a, w)", constants=W | {"v": np.eye(4, dtype=np.float32)})
    found = quantize_model(source, CompileOptions(calibration=data(1, 2)), ["y"])
    assert found.host == {"y"} and scales(found.model).keys() == {"x", "a"}
    assert isinstance(found.floating, ir.Model) and found.reference is not None


# --- rounding ---------------------------------------------------------------------------------------------------


def test_how_a_quantized_model_rounds():
    source = layer()
    assert rounding_of(source) == 0
    set_rounding(source, None, quantized=False)
    set_rounding(source, "floor", quantized=True)
    assert source.metadata_props == {"vlac.rounding": "floor"} and rounding_of(source) > 0
    set_rounding(source, "floor", quantized=True)
    with pytest.raises(ModelError, match="--rounding half-up contradicts the model, whose Quant nodes round by floor"):
        set_rounding(source, "half-up", quantized=True)
    with pytest.raises(ModelError, match="is for quantized models"):
        set_rounding(layer(), "floor", quantized=False)
