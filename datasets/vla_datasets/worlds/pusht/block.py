"""The T: its outline, and how a circle that moves slowly pushes it.

A pose is (x, y, angle) of the body's origin, the middle of the bar's edge; all functions take arrays of them. Contact
has no friction and the block keeps no speed (`space.damping = 0` in gym-pusht), so a circle that overlaps it moves it
by the impulse along the normal that parts them. Not here: walls; the expert looks again after each push.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["CORNERS", "OUTLINE", "RADIUS", "centre", "contacts", "corners", "distance", "nearest", "place", "pushed"]

Array = npt.NDArray[np.float64]

RADIUS = 15.0  # of the pusher
CORNERS = np.array([[-60, 0], [60, 0], [60, 30], [-60, 30], [-15, 30], [15, 30], [15, 120], [-15, 120]], np.float64)
OUTLINE = [3, 4, 7, 6, 5, 2, 1, 0]  # the corners in the order of the edges
_BOXES = np.array([[-60, 0, 60, 30], [-15, 30, 15, 120]], np.float64)  # bar and stem: x0, y0, x1, y1
_CENTRE = 45.0  # of gravity, on the body's y axis
_INERTIA = 3000.0  # of mass 1, as gym-pusht counts it
_NEAR = 1e-4  # px of overlap that is none


def place(pose: Array, points: Array) -> Array:
    """Points (..., 2) of the body in the plane, for poses (..., 3)."""
    c, s = np.cos(pose[..., 2]), np.sin(pose[..., 2])
    x, y = points[..., 0], points[..., 1]
    return np.stack([pose[..., 0] + c * x - s * y, pose[..., 1] + s * x + c * y], axis=-1)


def corners(pose: Array) -> Array:
    """The keypoints (..., 8, 2) of poses (..., 3), in gym-pusht's order."""
    return place(pose[..., np.newaxis, :], CORNERS)


def centre(pose: Array) -> Array:
    """The centre of gravity (..., 2)."""
    return place(pose, np.array([0.0, _CENTRE]))


def distance(pose: Array, goal: Array) -> Array:
    """Mean distance (...) of the keypoints from those (8, 2) of the goal, in px."""
    away = corners(pose) - goal
    return np.asarray(np.sqrt((away**2).sum(axis=-1)).mean(axis=-1))


def nearest(points: Array) -> tuple[Array, Array, Array]:
    """Of points (N, 2) of the body frame: signed distance (N,) to the T, outward normal and nearest point (N, 2)."""
    low, high = _BOXES[:, np.newaxis, :2], _BOXES[:, np.newaxis, 2:]
    on = np.clip(points, low, high)  # (2, N, 2)
    away = points - on
    far = np.sqrt((away**2).sum(axis=-1))
    # within a box: the way out is that to the nearest of its four edges
    depths = np.concatenate([points - low, high - points], axis=-1)
    edge = depths.argmin(axis=-1)
    out = np.array([[-1, 0], [0, -1], [1, 0], [0, 1]], np.float64)[edge]
    inside = far < 1e-9
    signed = np.where(inside, -depths.min(axis=-1), far)
    normal = np.where(inside[..., np.newaxis], out, away / np.maximum(far, 1e-9)[..., np.newaxis])
    chosen = signed.argmin(axis=0), np.arange(len(points))
    return signed[chosen], normal[chosen], on[chosen]


def pushed(circle: Array, pose: Array) -> Array:
    """Poses (N, 3) after circles with centres (N, 2) parted from them."""
    pose = pose.copy()
    for _ in range(4):  # a corner between two edges takes more than one
        c, s = np.cos(pose[:, 2]), np.sin(pose[:, 2])
        x, y = (circle - pose[:, :2]).T
        away, normal, on = nearest(np.stack([c * x + s * y, c * y - s * x], axis=-1))
        overlap = np.maximum(RADIUS - away, 0.0)
        if (overlap <= _NEAR).all():
            break
        overlap[overlap <= _NEAR] = 0.0
        into, lever = -normal, on - (0.0, _CENTRE)
        turn = lever[:, 0] * into[:, 1] - lever[:, 1] * into[:, 0]
        impulse = overlap / (1 + turn**2 / _INERTIA)
        middle = place(pose, np.array([0.0, _CENTRE]) + into * impulse[:, np.newaxis])
        pose[:, 2] += turn * impulse / _INERTIA
        pose[:, 0] = middle[:, 0] + np.sin(pose[:, 2]) * _CENTRE
        pose[:, 1] = middle[:, 1] - np.cos(pose[:, 2]) * _CENTRE
    return pose


def contacts(spacing: float = 8.0) -> Array:
    """Points and outward normals (M, 4) on the outline, about `spacing` px apart, where the pusher fits."""
    found = []
    outline = CORNERS[OUTLINE]
    for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        along = (end - start) / math.dist(start, end)
        normal = np.array([-along[1], along[0]])
        number = max(2, int(math.dist(start, end) // spacing))
        for share in (np.arange(number) + 0.5) / number:
            point = start + (end - start) * share
            if nearest((point + normal * (RADIUS + 0.5))[np.newaxis])[0][0] >= RADIUS:
                found.append(np.concatenate([point, normal]))
    return np.array(found)
