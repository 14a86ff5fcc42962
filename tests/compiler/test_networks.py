"""Well-known networks at 224x224: output against float, and the same bits on RTL."""

import networks
import numpy as np
import onnxruntime
import pytest
from parity import compile_proto, random_inputs

import vlarun


def signal_to_noise(expected, got):
    return 10 * np.log10(np.sum(expected**2) / np.sum((expected - got) ** 2))


@pytest.mark.slow
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_stays_close_to_float(name):
    model = networks.NETWORKS[name]()
    program = compile_proto(model, "u50", calib="random:2").program
    inputs = random_inputs(program, seed=5)
    got = vlarun.Session(program, backend="sim").run(inputs)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, inputs)
    assert signal_to_noise(expected, next(iter(got.values()))) >= 15


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2"])
def test_same_bits_on_rtl(name):
    program = compile_proto(networks.NETWORKS[name](), "u50", calib="random:1").program
    inputs = random_inputs(program, seed=5)
    expected = vlarun.Session(program, backend="sim").run(inputs, raw=True)
    got = vlarun.Session(program, backend="rtl").run(inputs, raw=True)
    for key, values in expected.items():
        assert np.array_equal(values, got[key]), key


@pytest.mark.parametrize("name", ["shufflenet_v1", "shufflenet_v2", "mobilenet_v2"])
def test_small_images_compile_for_tiny(name):
    """The same graphs at 32x32 on the smallest machine, against the integers of `u50`."""
    model = networks.NETWORKS[name](32)
    outputs = []
    for config in ("tiny", "u50"):
        program = compile_proto(model, config, calib="random:1").program
        found = vlarun.Session(program, backend="sim").run(random_inputs(program), raw=True)
        outputs.append(next(iter(found.values())))
    assert np.array_equal(*outputs)
