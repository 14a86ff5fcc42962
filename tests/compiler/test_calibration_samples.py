"""Samples from files, folders, arrays and random numbers."""

import numpy as np
import pytest
from small_graphs import model

from vla_isa.signature import Value
from vlac.errors import CalibrationError
from vlac.quantize.calibration import model_values, random_array, read_samples

X = [Value("x", (1, 2), "float32")]


def first(samples):
    return [float(s["x"][0, 0]) for s in samples]


def rows(*values):
    return {"x": np.float32([[v, 0] for v in values])}


def test_inputs_of_a_model():
    """Nothing reads b; c is an output as it is."""
    source = model("y = Relu(a)", "float[1,2] a, int8[3] b, float[4] c", "y, float[4] c")
    values, unused = model_values(source)
    assert [(v.name, v.shape, v.dtype) for v in values] == [
        ("a", (1, 2), "float32"), ("b", (3,), "int8"), ("c", (4,), "float32")]  # fmt: skip
    assert unused == {"b"}


def test_where_samples_come_from(tmp_path):
    np.savez(tmp_path / "b.npz", **rows(3, 4))
    np.savez(tmp_path / "a.npz", **rows(1, 2))
    (tmp_path / "c.txt").touch()
    for file in (tmp_path / "a.npz", str(tmp_path / "a.npz")):
        assert first(read_samples(file, X)) == [1, 2]
    assert first(read_samples(tmp_path, X)) == [1, 2, 3, 4]
    assert first(read_samples(rows(5, 6), X)) == [5, 6]
    assert first(read_samples([rows(7), rows(8)], X)) == [7, 8]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.npz", "'nowhere.npz' does not exist"),
        (3, "calibration data is int"),
        ([], "calibration data is list"),
        ([rows(1), 3], "calibration data is list"),
        ({"y": 3}, "calibration data: "),
        ([rows(1), {"y": 3}], "calibration sample 1: "),
    ],
)
def test_refusals(source, message):
    with pytest.raises(CalibrationError, match=message):
        read_samples(source, X)


def test_a_folder_of_nothing(tmp_path):
    with pytest.raises(CalibrationError, match=r"holds no \.npz files"):
        read_samples(tmp_path, X)


def test_the_largest_value_is_127_times_the_largest_scale():
    limit = 127 * 2.0**62
    assert first(read_samples(rows(-limit), X)) == [-limit]
    with pytest.raises(CalibrationError, match="input 'x' holds"):
        read_samples(rows(0, -limit * (1 + 2.0**-20)), X)


# --- random numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "count"), [("random", 8), ("random:1", 1), ("random:010", 10)])
def test_random_samples_are_the_same_every_time(source, count):
    """Normal numbers of seed 0, input by input."""
    values = [*X, Value("s", (3,), "float64")]
    samples = read_samples(source, values)
    rng = np.random.default_rng(0)
    assert len(samples) == count
    for sample in samples:
        for value in values:
            assert np.array_equal(sample[value.name], rng.standard_normal(value.shape).astype(value.dtype))


@pytest.mark.parametrize("count", ["0", "-1", "x", "", "1.5", "100000"])
def test_random_counts_that_are_refused(count):
    with pytest.raises(CalibrationError, match=f"from 1 to 99999; found '{count}'"):
        read_samples(f"random:{count}", X)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("uint8", 0, 255), ("int8", -128, 127), ("bool", 0, 1), ("int16", 0, 1), ("int64", 0, 1)],
)
def test_random_integers(dtype, low, high):
    found = random_array(np.random.default_rng(0), Value("x", (100, 100), dtype))
    assert found.dtype == dtype and (found.min(), found.max()) == (low, high)
