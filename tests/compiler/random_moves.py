"""Random operators that only move values: one function per ONNX operator, see `random_network`.

What mixes pixels and channels is drawn for small tensors only, as the compiler takes no others.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from random_network import SMALL, Network, Undone


def words(n: Network) -> tuple[str, int]:
    """A value and an axis along which elements may be picked at any size: of an image, or of a small value."""
    x = n.which(lambda v: n.is_image(v) or (0 < n.size(v) <= SMALL and len(n.shape(v)) > 0))
    return x, n.some(1, 3) if n.is_image(x) and n.size(x) > SMALL else n.some(0, len(n.shape(x)) - 1)


def factors(n: Network, size: int) -> list[int]:
    """One to four sizes with a product of `size`."""
    found = []
    for _ in range(n.some(0, 3)):
        found.append(n.pick(*(d for d in range(1, size + 1) if size % d == 0)))
        size //= found[-1]
    return [*found, size]


# --- views ----------------------------------------------------------------------------------------------


def reshape(n: Network) -> str:
    if n.maybe(3):  # channel shuffle
        x = n.image()
        _, c, h, w = n.shape(x)
        group = n.pick(*(d for d in range(1, c + 1) if c % d == 0))
        y = n.node("Reshape", [x, n.constant([1, group, c // group, h, w])])
        return n.node("Reshape", [n.node("Transpose", [y], perm=[0, 2, 1, 3, 4]), n.constant([1, c, h, w])])
    x = n.any()
    if n.size(x) > SMALL:
        return n.node("Reshape", [x, n.constant(n.pick([1, -1], [-1], [1, n.size(x)]))])
    shape = factors(n, n.size(x))
    if n.maybe():
        shape[n.some(0, len(shape) - 1)] = -1
    return n.node("Reshape", [x, n.constant(shape)])


def flatten(n: Network) -> str:
    x = n.any()
    large = n.size(x) > SMALL
    return n.node("Flatten", [x], axis=1 if large and n.is_image(x) else 0 if large else n.some(0, len(n.shape(x))))


def squeeze(n: Network) -> str:
    x = n.which(lambda v: 1 in n.shape(v) and (n.size(v) <= SMALL or (n.is_image(v) and n.shape(v)[2:] == (1, 1))))
    ones = [i for i, d in enumerate(n.shape(x)) if d == 1]
    if n.maybe(4):
        return n.node("Squeeze", [x])
    return n.node("Squeeze", [x, n.constant(n.rng.sample(ones, n.some(1, len(ones))))])


def unsqueeze(n: Network) -> str:
    x = n.which(lambda v: n.size(v) <= SMALL and len(n.shape(v)) < 5)
    return n.node("Unsqueeze", [x, n.constant([n.some(-len(n.shape(x)) - 1, len(n.shape(x)))])])


def same(op: str, n: Network) -> str:
    return n.node(op, [n.any()])


def cast(n: Network) -> str | None:
    """To another float type and back, or at the end."""
    x, kind = n.any(), n.pick(11, 10)  # double, float16
    y = n.node("Cast", [x], to=kind)
    return n.node("Cast", [y], to=1) if n.maybe() else None


# --- choices and orders ---------------------------------------------------------------------------------


def transpose(n: Network) -> str | None:
    if n.maybe(4):  # channels last at the end
        n.node("Transpose", [n.image()], perm=[0, 2, 3, 1])
        return None
    if n.maybe(4):
        return n.node("Transpose", [n.image()], perm=[0, 1, 3, 2])
    x = n.small()
    rank = len(n.shape(x))
    return n.node("Transpose", [x], perm=n.rng.sample(range(rank), rank))


def slice_(n: Network) -> str:
    x, axis = words(n)
    size = n.shape(x)[axis]
    low = n.some(0, size - 1)
    high, step = n.some(low + 1, size), n.pick(1, 1, 2, 3)
    if n.maybe(4):
        start, end, step = high - 1, low - 1 - size if low == 0 else low - 1, -step
    else:
        start, end = low, n.pick(high, high - size) if high < size else n.pick(high, 1 << 40)
    axis = n.pick(axis, axis - len(n.shape(x)))
    return n.node("Slice", [x, *(n.constant([v]) for v in (start, end, axis, step))])


def split(n: Network) -> str:
    x, axis = words(n)
    size = n.shape(x)[axis]
    if n.maybe(4) and n.opset >= 18:
        first = n.node("Split", [x], results=2, axis=axis, num_outputs=2)
        return both(n, first, 2)
    cuts = sorted({n.some(0, size) for _ in range(n.some(1, 2))} - {0, size})
    sizes = np.diff([0, *cuts, size])
    return both(n, n.node("Split", [x, n.constant(sizes)], results=len(sizes), axis=axis), len(sizes))


def both(n: Network, first: str, results: int) -> str:
    """Keep every result of a node."""
    for i in range(1, results):
        n.keep(f"{first}.{i}")
    return first


def gather(n: Network) -> str:
    x, axis = words(n)
    size = n.shape(x)[axis]
    if n.maybe(4) and n.size(x) <= SMALL:
        return n.node("Gather", [x, n.constant(np.int64(n.some(-size, size - 1)))], axis=axis)
    indices = [n.some(-size, size - 1) for _ in range(n.some(1, size + 2))]
    return n.node("Gather", [x, n.constant(indices)], axis=axis, limit=SMALL if n.size(x) <= SMALL else 5000)


def gather_nd(n: Network) -> str:
    """Single elements, or all that lie along the last axes."""
    x = n.small()
    shape = n.shape(x)
    depth = n.some(1, len(shape))
    indices = [[n.some(-d, d - 1) for d in shape[:depth]] for _ in range(n.some(1, 6))]
    return n.node("GatherND", [x, n.constant(indices)], limit=SMALL)


def tile(n: Network) -> str:
    x, axis = words(n)
    repeats = [1] * len(n.shape(x))
    repeats[axis] = n.some(1, 3)
    return n.node("Tile", [x, n.constant(repeats)], limit=SMALL if n.size(x) <= SMALL else 5000)


def expand(n: Network) -> str:
    """Along axes of one element; a mean makes one where there is none."""
    x, axis = words(n)
    if 1 not in n.shape(x)[1:]:
        axis = 3 if n.size(x) > SMALL else axis
        x = n.node("ReduceMax", [x], axes=[axis]) if n.opset < 18 else n.node("ReduceMax", [x, n.constant([axis])])
    shape = [n.some(1, 6) if d == 1 and i else d for i, d in enumerate(n.shape(x))]
    return n.node("Expand", [x, n.constant(shape)], limit=SMALL if n.size(x) <= SMALL else 5000)


def pad(n: Network) -> str:
    x, axis = words(n)
    size, rank = n.shape(x)[axis], len(n.shape(x))
    mode = n.pick("constant", "constant", "edge", "reflect", *(["wrap"] if n.opset >= 19 else []))
    most = min(3, size - 1) if mode == "reflect" else min(3, size)
    before, behind = n.some(0, most), n.some(0, most)
    value = [n.constant(np.float32(n.uniform(-1, 1)))] if mode == "constant" and n.maybe() else []
    limit = SMALL if n.size(x) <= SMALL else 10_000
    if n.maybe(3) and n.opset >= 18:
        inputs = [x, n.constant([before, behind]), *(value or [""]), n.constant([axis])]
        return n.node("Pad", inputs, mode=mode, limit=limit)
    pads = np.zeros((2, rank), np.int64)
    pads[:, axis] = before, behind
    if n.is_image(x) and mode == "constant":
        pads[:, 2:] = [[n.some(0, 3), n.some(0, 3)] for _ in range(2)]
    return n.node("Pad", [x, n.constant(pads.ravel()), *value], mode=mode, limit=limit)


def depth_to_space(n: Network) -> str:
    x = n.which(lambda v: n.is_image(v) and any(n.shape(v)[1] % (b * b) == 0 for b in (2, 3, 4)))
    size = n.pick(*(b for b in (2, 3, 4) if n.shape(x)[1] % (b * b) == 0))
    return n.node("DepthToSpace", [x], blocksize=size, mode=n.pick("DCR", "CRD"))


def space_to_depth(n: Network) -> str:
    def sizes(v: str) -> list[int]:
        return [b for b in (2, 3, 4) if n.is_image(v) and n.shape(v)[2] % b == n.shape(v)[3] % b == 0]

    x = n.which(lambda v: bool(sizes(v)) and n.shape(v)[1] <= 10)
    return n.node("SpaceToDepth", [x], blocksize=n.pick(*sizes(x)))


def concat(n: Network) -> str:
    """Two or three values that differ along the axis only, at least x with itself."""
    x, axis = words(n)

    def beside(v: str) -> bool:
        a, b = n.shape(v), n.shape(x)
        return a[:axis] + a[axis + 1 :] == b[:axis] + b[axis + 1 :] and len(a) == len(b)

    parts = [x, *(n.which(beside) for _ in range(n.some(1, 2)))]
    n.rng.shuffle(parts)
    limit = SMALL if n.size(x) <= SMALL else 10_000
    return n.node("Concat", parts, axis=n.pick(axis, axis - len(n.shape(x))), limit=limit)


# --- resize ---------------------------------------------------------------------------------------------

_COORDINATES = ("half_pixel", "asymmetric", "pytorch_half_pixel", "align_corners")


def resize(n: Network) -> str:
    """Nearest of any image; linear by factors that repeat; other modes of small tensors (`rounded` in the name)."""
    x = n.image()
    _, _, h, w = n.shape(x)
    coordinates = n.pick(*_COORDINATES)
    if n.maybe():
        scales = [n.pick(2, 1, 3, 0.5, 1.5) for _ in range(2)]
        rounding = n.pick("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
        given = {"mode": "nearest", "nearest_mode": rounding}
    elif n.maybe(3) and n.size(x) <= SMALL:
        sizes = [1, n.shape(x)[1], n.some(1, 2 * h), n.some(1, 2 * w)]
        mode = n.pick("linear", "cubic")
        attributes = {"mode": mode, "coordinate_transformation_mode": "half_pixel"}
        return n.node("Resize", [x, "", "", n.constant(sizes)], limit=SMALL, **attributes)
    else:
        coordinates = n.pick("half_pixel", "pytorch_half_pixel")
        scales = [n.pick(2, 3, 4, 5, 0.5, 0.25) for _ in range(2)]
        given = {"mode": "linear"}
    whole = all(float(s * d).is_integer() and s * d > 1 for s, d in zip(scales, (h, w), strict=True))
    if not whole:
        raise Undone
    scale = n.constant(np.array([1, 1, *scales], np.float32))
    return n.node("Resize", [x, "", scale], coordinate_transformation_mode=coordinates, **given)


MOVES = {
    "Identity": partial(same, "Identity"),
    "Dropout": partial(same, "Dropout"),
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Cast": cast,
    "Transpose": transpose,
    "Slice": slice_,
    "Split": split,
    "Gather": gather,
    "GatherND": gather_nd,
    "Tile": tile,
    "Expand": expand,
    "Pad": pad,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Concat": concat,
    "Resize": resize,
}
