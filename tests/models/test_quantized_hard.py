"""Where quantization after training fails, training as the device computes does not: measured on the device."""

from __future__ import annotations

from typing import Any

import numpy as np

import vlarun
from vlac.api import compile_model
from vlac.options import CompileOptions


def _on_device(model: Any, x: Any, y: Any, calibration: Any = None) -> float:
    """Accuracy of the compiled program."""
    session = vlarun.Session(compile_model(model, "tiny", CompileOptions(calibration=calibration)), backend="sim")
    found = [session.run({"x": row[None].numpy()})["y"].argmax() for row in x]
    return float(np.mean(np.array(found) == y.numpy()))


def test_a_network_that_uses_few_steps_of_its_ranges() -> None:
    import torch
    from narrow_spirals import Narrow, fit, spirals
    from quantized_nets import graph_of

    from vla_models.export_onnx import exported
    from vla_models.quantized.convert import quantize_graph

    torch.manual_seed(1)
    (x, y), (unseen, wanted) = spirals(4000, 0), spirals(400, 1)
    net = Narrow()
    fit(net, x, y, 1200, 1e-2)
    net.shrink(x)
    in_float = float((net(unseen).argmax(1) == wanted).float().mean())
    assert in_float > 0.98

    model, calibration = exported(graph_of(net, 2)), {"x": x[:512].numpy()}
    after = _on_device(model, unseen, wanted, calibration)
    assert after < in_float - 0.1

    quantized = quantize_graph(model, calibration)
    fit(quantized, x, y, 600, 5e-3)
    trained = _on_device(quantized.to_onnx(), unseen, wanted)
    assert trained > in_float - 0.01
    assert trained == float((quantized(unseen).argmax(1) == wanted).float().mean())
