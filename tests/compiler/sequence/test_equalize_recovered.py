"""Equalization of rows on exported modules: which values, and that the model computes the same."""

import numpy as np
import onnx_ir as ir
import pytest
from exported import exported
from recovered import recovered, run
from spellings import CASES, HUGGING_FACE

from vlac.quantize.equalize_rows import ChannelPeaks, equalize_rows
from vlac.quantize.rounds import all_rounds

# values that are equalized, and products in front of layers: of norms that others read too
COUNTS = {
    "causal_decoder": (3, 2),  # its Relu too, in the weights
    "swiglu": (2, 0),
    "layer_scale": (1, 0),
    "dit": (0, 0),
    "hf_bert": (2, 2),
    "hf_llama_eager": (3, 0),
    "hf_vit": (2, 0),
}


@pytest.mark.parametrize("name", [n if n[:3] != "hf_" else pytest.param(n, marks=pytest.mark.slow) for n in COUNTS])
def test_equalized(name):
    pytest.importorskip("torch", reason="pip install .[train]")
    if name.startswith("hf_"):
        pytest.importorskip("transformers", reason="pip install .[transformers]")
    (case,) = [c for c in (*CASES, *HUGGING_FACE) if c.name == name]
    proto, arrays = exported(case, "legacy-17")
    model = recovered(proto)
    before = ir.to_proto(model)
    products = sum(n.op_type == "Mul" for n in model.graph)
    channels = ChannelPeaks(model)
    all_rounds(model, [arrays], [channels])
    found = equalize_rows(model, channels.largest)
    assert (len(found), sum(n.op_type == "Mul" for n in model.graph) - products) == COUNTS[name]
    for wanted, given in zip(run(before, arrays), run(ir.to_proto(model), arrays), strict=True):
        assert np.allclose(wanted, given, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
