"""A ViT and a GPT, trained here: their task metrics on the device, beside float."""

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("outliers", [False, True])
@pytest.mark.parametrize("name", ["vit", "gpt"])
def test_the_device_does_as_well_as_float(name, outliers):
    pytest.importorskip("torch", reason="pip install .[train]")
    from trained_transformers import measure, misses

    row = measure(name, outliers=outliers, beside=False)
    assert not misses(row), row
