"""Resize: nearest in every coordinate and rounding mode, linear where it repeats."""

import numpy as np
import pytest
from moved import moved
from one_op import check_both, image_graph
from parity import compile_proto, random_inputs

import vlarun
from vla_toolchain.verify import check_nodes

SCALES = [(2, 2), (3, 1), (0.5, 0.5), (1.5, 2)]


def resized(scales=None, sizes=None, **attributes):
    def body(g, x):
        given = [] if scales is None else [g.constant(np.array([1, 1, *scales], np.float32))]
        if sizes is not None:
            given = ["", g.constant(np.array([1, 20, *sizes]))]
        return g.node("Resize", [x, "", *given], **attributes)

    return body


@pytest.mark.parametrize("nearest", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"])
@pytest.mark.parametrize("scales", SCALES, ids=str)
def test_nearest(scales, coordinates, nearest):
    check_both(
        image_graph(
            resized(scales, mode="nearest", coordinate_transformation_mode=coordinates, nearest_mode=nearest),
            20,
            (4, 6),
        )
    )


def test_nearest_is_exact():
    moved(resized((2, 2), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"))


def test_nearest_to_a_size():
    check_both(image_graph(resized(sizes=(9, 16), mode="nearest"), 20, (6, 8)))


@pytest.mark.parametrize(
    ("scales", "coordinates"),
    [
        ((2, 2), "half_pixel"),
        ((2, 2), "asymmetric"),
        ((4, 4), "half_pixel"),
        ((3, 2), "pytorch_half_pixel"),
        ((0.5, 0.5), "half_pixel"),
        ((0.25, 1), "half_pixel"),
        ((1.5, 1.5), "half_pixel"),
        ((2, 1), "half_pixel_symmetric"),
    ],
    ids=str,
)
def test_linear(scales, coordinates):
    opset = 19 if "symmetric" in coordinates else 18
    body = resized(scales, mode="linear", coordinate_transformation_mode=coordinates)
    check_both(
        image_graph(body, 20, (4, 8), opset=opset),
        different=0.2,  # means are often exact ties, which float noise decides
    )


def test_linear_with_aligned_corners():
    body = resized(sizes=(9, 13), mode="linear", coordinate_transformation_mode="align_corners")
    check_both(image_graph(body, 20, (5, 7)), different=0.1)


SMALL = [
    {"scales": (2, 2), "mode": "cubic"},
    {"scales": (0.6, 0.8), "mode": "linear"},
    {"sizes": (11, 9), "mode": "linear"},
    {"scales": (0.5, 0.5), "mode": "linear", "antialias": 1},
    {"scales": (2, 1), "mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
]


@pytest.mark.parametrize("attributes", SMALL, ids=str)
def test_small_tensors_in_any_mode(attributes):
    """Within two units of the last place: weights that are not exact in 8 bits are rounded."""

    def body(g, x):
        given = dict(attributes)
        scales, sizes = given.pop("scales", None), given.pop("sizes", None)
        last = ["", g.constant(np.array([1, 5, *sizes]))] if sizes else [g.constant(np.array([1, 1, *scales], "f"))]
        return g.node("Resize", [x, "", *last], **given)

    for config in ("tiny", "u50"):
        kept = compile_proto(image_graph(body, 5, (4, 6), opset=18), config, debug_outputs=True)
        inputs = random_inputs(kept.program)
        checks = check_nodes(kept, inputs, vlarun.Session(kept.program, backend="sim").run(inputs, raw=True))
        assert len(checks) == 2 and max(c.largest for c in checks) <= 2, checks


def test_a_crop_beyond_the_image():
    def body(g, x):
        roi = g.constant(np.array([0, 0, 0.4, 0.6, 1, 1, 1.2, 1.7], np.float32))
        sizes = g.constant(np.array([1, 5, 3, 3]))
        attributes = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 0.7}
        return g.node("Resize", [x, roi, "", sizes], mode="linear", **attributes)

    kept = compile_proto(image_graph(body, 5, (4, 4), opset=18), debug_outputs=True)
    inputs = random_inputs(kept.program)
    checks = check_nodes(kept, inputs, vlarun.Session(kept.program, backend="sim").run(inputs, raw=True))
    assert len(checks) == 2 and max(c.largest for c in checks) <= 2, checks


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_kept_aspect_ratio(policy):
    def body(g, x):
        sizes = g.constant(np.array([8, 9]))
        return g.node("Resize", [x, "", "", sizes], mode="nearest", axes=[2, 3], keep_aspect_ratio_policy=policy)

    check_both(image_graph(body, 20, (4, 6), opset=18))
