"""A ViT and a GPT, trained here: their task metrics on the device, beside float; also with outlier channels."""

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit", "gpt"])
def test_the_device_does_as_well_as_float(name):
    pytest.importorskip("torch", reason="pip install .[train]")
    from trained_transformers import measure, misses

    for outliers in (False, True):
        row = measure(name, outliers=outliers, beside=False)
        assert not misses(row), row
