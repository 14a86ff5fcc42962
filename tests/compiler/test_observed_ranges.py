"""Ranges of activations from samples: against numpy, ONNX Runtime's own methods and the written rule of `mse`."""

import contextlib
import io

import numpy as np
import pytest
from onnxruntime.quantization.calibrate import HistogramCollector
from small_graphs import model

from vlac import CompileOptions
from vlac.errors import CalibrationError
from vlac.quantize.known_ranges import Levels
from vlac.quantize.ranges import least_error_range, merged_histogram, observe_ranges

TWO = model("a = Mul(x, c) b = Tanh(x) y = Add(a, b)", "float[1,400] x", constants={"c": np.float32(-2)})


def values(source, names):
    return [v for v in (*source.graph.inputs, *(o for n in source.graph for o in n.outputs)) if v.name in names]


def samples(*scales, offset=0.3):
    rng = np.random.default_rng(0)
    return [{"x": np.float32(s * (rng.standard_normal((1, 400)) + offset))} for s in scales]


def observed(parts, method="minmax", source=TWO, names="xaby", **options):
    return observe_ranges(source, values(source, names), parts, CompileOptions(calibration_method=method, **options))


def test_everything_that_was_seen():
    first, last = samples(1, 3, 0.5), samples(0.1, 4)
    for (found, winners), seen in zip(observed([first, last]), (first, [*first, *last]), strict=True):
        x = np.stack([s["x"] for s in seen])
        for name, array in {"x": x, "a": -2 * x, "b": np.tanh(x), "y": np.tanh(x) - 2 * x}.items():
            assert found[name] == pytest.approx((array.min(), array.max()), rel=1e-6)
        assert winners == {}


def test_no_values():
    assert observed([samples(1), samples(1)], names="") == [({}, {})] * 2


def test_a_model_that_does_not_run():
    with pytest.raises(CalibrationError, match="does not run on the calibration data"):
        observed([[{"x": np.zeros((1, 5), np.float32)}]])


def test_where_the_values_lie_that_can_win():
    """Joined over samples, also of those without a mask; none where no sample has one."""
    source = model("a = Neg(x) y = ReduceMax(a) b = Neg(a) z = ReduceMin(b)", "float[1,3] x", "y, z")
    masked, plain = ({"x": -np.float32([row])} for row in ([-1e9, 2, 5], [1, 3, 4]))
    found = {"a": (Levels(1, 5), True), "b": (Levels(1, 5), False)}
    source = model("a = Neg(x) y = ReduceMax(a) b = PRelu(x, c) z = ReduceMin(b)", "float[1,3] x", "y, z",
                   constants={"c": np.float32([1])})  # fmt: skip
    for parts in ([[masked, plain]], [[plain, masked]], [[plain], [masked]], [[masked], [plain]]):
        assert observed(parts, source=source, names="abxyz")[-1][1] == found
    assert observed([[plain], [masked]], source=source, names="abxyz")[0][1] == {}
    (ranges, winners), = observed([[masked, plain]], "percentile", source, "abxyz", percentile=100)  # fmt: skip
    assert winners == found and ranges.keys() == set("abxyz")


# --- methods of ONNX Runtime ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scales", [(1,), (1, 2.5, 7)], ids=["one sample", "samples that grow"])
@pytest.mark.parametrize(("method", "bins"), [("percentile", 2048), ("entropy", 512)])
def test_methods_of_onnx_runtime(method, bins, scales):
    """128 levels as in ONNX Runtime; of samples that grow, its search of least entropy takes 512 bins too."""
    seen = samples(*scales)
    (found, _), = observed([seen], method, percentile=99)  # fmt: skip
    reference = HistogramCollector(method, False, bins, 128, 99, "same")
    with contextlib.redirect_stdout(io.StringIO()):
        for sample in seen:
            reference.collect({"x": [sample["x"]], "a": [-2 * sample["x"]]})
        if method == "entropy":
            for name, (hist, edges, *rest) in reference.histogram_dict.items():
                reference.histogram_dict[name] = (*merged_histogram(hist, edges, bins), *rest)
        wanted = reference.compute_collection_result()
    for name, (low, high, *_) in wanted.items():
        assert found[name] == pytest.approx((float(low), float(high)), rel=1e-6)


def test_histograms_are_merged_around_zero():
    hist, edges = np.arange(1, 11), np.linspace(-5, 5, 11)
    found, places = merged_histogram(hist, edges, 4)  # 3 bins each, and one more on both sides
    assert found.tolist() == [1 + 2, 3 + 4 + 5, 6 + 7 + 8, 9 + 10] and places.tolist() == [-6, -3, 0, 3, 6]
    for bins in (10, 11):
        found, places = merged_histogram(hist, edges, bins)
        assert found.tolist() == hist.tolist() and places.tolist() == edges.tolist()
    found, places = merged_histogram(np.arange(1, 7), np.linspace(-2, 4, 7) - 1, 2)
    assert found.tolist() == [6, 15] and places.tolist() == [-3, 0, 3]


# --- least squared error ----------------------------------------------------------------------------------------


def test_the_range_of_least_error_of_growing_samples():
    """Close to numpy's histogram of all of them."""
    seen = samples(1, 2.5, 7)
    (found, _), = observed([seen], "mse")  # fmt: skip
    for name, factor in {"x": 1, "a": -2}.items():
        array = factor * np.stack([s["x"] for s in seen])
        size = np.abs(array).max()
        wanted = least_error_range(*np.histogram(array, 4096, (-size, size)), array.min(), array.max())
        assert found[name] == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize(
    ("method", "first"), [("entropy", 1e-6), *((m, f) for m in ("percentile", "mse") for f in (0, 1e-30, 1e-6, 1e-3))]
)
def test_a_first_sample_of_next_to_nothing(method, first):
    """It counts as zeros: as if the same number of these had been seen beside the others."""
    small, large = samples(first, 1)
    (found, _), = observed([[small, large]], method, percentile=99)  # fmt: skip
    both = {"x": np.concatenate([0 * small["x"], large["x"]], axis=1)}
    source = model("y = Mul(x, c)", "float[1,800] x", constants={"c": np.float32(-2)})
    (wanted, _), = observed([[both]], method, source, "xy", percentile=99)  # fmt: skip
    assert found["x"] == pytest.approx(wanted["x"], rel=0.02)


def reference_range(hist, edges, low, high):
    """The rule as it is written: candidates of 128 steps each way, 255 levels; nothing for zero itself."""
    low, high = min(low, 0), max(high, 0)
    centres = (edges[:-1] + edges[1:]) / 2
    best = None
    for i in range(1, 129) if low else [128]:
        for j in range(1, 129) if high else [128]:
            a, b = low * i / 128, high * j / 128
            error = 0.0
            for x, count in zip(centres, hist, strict=True):
                if abs(x) > edges[1] - edges[0]:
                    outside = max(a - x, x - b, 0)
                    error += count * (outside**2 if outside else ((b - a) / 255) ** 2 / 12)
            if best is None or error < best[0]:
                best = error, a, b
    return best[1:]


@pytest.mark.parametrize(("low", "high"), [(-40, 40), (0, 40), (-40, 0), (-25, 33)])
@pytest.mark.parametrize("seed", range(2))
def test_the_range_of_least_error(low, high, seed):
    """Many values near zero and few far away, so that the best range lies between."""
    rng = np.random.default_rng(seed)
    edges = np.linspace(-40, 40, 13)
    hist = np.where((edges[1:] <= low) | (edges[:-1] >= high), 0, rng.integers(1, 4, 12))
    hist[4:8] *= 10 ** rng.integers(2, 7)
    assert least_error_range(hist, edges, low, high) == pytest.approx(reference_range(hist, edges, low, high))


def test_the_range_of_least_error_on_one_side():
    """Many histograms, so that the number of levels and the share of a step show in some."""
    rng = np.random.default_rng(0)
    for _ in range(150):
        edges = np.linspace(-40, 40, 13)
        hist = np.where(edges[1:] <= 0, 0, rng.integers(1, 4, 12))
        hist[6:9] *= 10 ** rng.integers(2, 7)
        wanted = reference_range(hist, edges, 0, 40)
        for unit in (1, 1 / 64):  # and the other way round
            found = least_error_range(hist, edges * unit, 0, 40 * unit)
            assert found == pytest.approx((0, wanted[1] * unit))
            assert least_error_range(hist[::-1], edges * unit, -40 * unit, 0) == pytest.approx((-found[1], 0))


def test_the_range_of_least_error_holds_nothing_that_was_not_seen():
    """Its bin reaches further than the largest value."""
    edges = np.linspace(-40, 40, 13)
    hist = np.where(edges[:-1] > 33, 9, 0)
    assert least_error_range(hist, edges, 0, 36) == (0, 36) and least_error_range(hist[::-1], edges, -36, 0) == (-36, 0)


@pytest.mark.parametrize("method", ["percentile", "mse"])
def test_units_do_not_matter(method):
    found, wanted = (observed([samples(s, 2 * s)], method, percentile=99)[0][0]["x"] for s in (2.0**-20, 1))
    assert np.multiply(found, 2**20) == pytest.approx(wanted, rel=1e-4)


def test_the_least_range_is_a_128th_of_what_was_seen():
    """A million million values of 0.6 beside one of 127."""
    edges = np.linspace(-128, 128, 1025)
    hist = np.zeros(1024)
    hist[np.searchsorted(edges, 0.6) - 1], hist[np.searchsorted(edges, 127.1) - 1] = 1e12, 1
    assert least_error_range(hist, edges, 0, 128) == (0, 1)
    assert least_error_range(hist[::-1], edges, -128, 0) == (-1, 0)


def test_small_values_beside_large_ones_keep_their_places():
    """A hundred times smaller: a few of the wider bins. 40 % of all values lie inside, 30 % on each side of them."""
    small, large = samples(0.01, 1)
    (found, _), = observed([[small, large]], "percentile", percentile=40)  # fmt: skip
    both = np.concatenate([small["x"], large["x"]])
    assert found["x"] == pytest.approx((np.quantile(both, 0.3), np.quantile(both, 0.7)), abs=0.006)
    assert np.quantile(both, 0.7) > 0.012


def test_values_at_the_end_of_a_range_are_not_rounded():
    """1e9 of 0.64, and 3000 of 1.222, which is 0.582 more.

    A range to 0.64 costs 3000 * 0.582^2 = 1016; one to r beyond it 3000 * (1.222 - r)^2 + 1e9 * (r / 255)^2 / 12, at
    least 1330. With a step's error for what lies at the end, 1e9 * (0.64 / 255)^2 / 12 = 525, the first would be more.
    """
    edges = np.linspace(-1.28, 1.28, 23)
    hist = np.zeros(22)
    hist[16], hist[21] = 1e9, 3000
    high = 1.28 * (1 - 1e-9)
    assert least_error_range(hist, edges, 0, high) == pytest.approx((0, 0.64))
    assert least_error_range(hist[::-1], edges, -high, 0) == pytest.approx((-0.64, 0))
