"""Models as their users export them, on the device: Hugging Face's, and blocks of policies.

Nothing runs on the host; float is near, over sequences and images that calibration did not see; the Verilog machine
leaves the same bytes.
"""

import numpy as np
import pytest
from exported import exported
from on_device import check
from parity import check_rtl
from spellings import CASES, HUGGING_FACE

LEAST = {"smolvla_expert": 27.0}  # dB; ONNX Runtime's int8 of products alone has 26.4
POLICIES = ("rdt", "rdt_block", "dit", "dit_model", "smolvla_expert")
MODELS = {
    case.name: case
    for case in (*HUGGING_FACE, *CASES)
    if case.name in POLICIES or (case in HUGGING_FACE and not case.name.endswith("_eager"))
}


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
@pytest.mark.parametrize("name", MODELS)
def test_on_the_device(name):
    pytest.importorskip("torch", reason="pip install .[train]")
    if name.startswith("hf_"):
        pytest.importorskip("transformers", reason="pip install .[transformers]")
    model, arrays = exported(MODELS[name], "dynamo-18")
    masks = {n: a for n, a in arrays.items() if a.dtype.kind != "f" and set(np.unique(a)) <= {0, 1}}
    found = check(model, "tiny", least=LEAST.get(name, 30.0), samples=128, over=6, fixed=masks)
    check_rtl(found.state, found.inputs)
