"""ADE and RFS: cases counted by hand, and a second implementation in plain loops, made from the formula alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_datasets.waymo.baselines import constant_turn, constant_velocity
from vla_datasets.waymo.metrics import displacement, initial_speed, padded_raters, rater_feedback_score

T = np.arange(1, 21) / 4


def by_loops(prediction: list, raters: list, labels: list, speed: float) -> float:
    """RFS of one prediction, number by number.

    Regions of 1.0 and 1.8 m across and 4.0 and 7.2 m along at 3 and 5 s, times 0.5 + 0.5 (v - 1.4) / 9.6 within 0.5 and
    1; max over raters of label 0.1^max(d - 1, 0), d the larger ratio; mean of both times; outside at least 4.
    """
    raters, labels = list(raters), list(labels)
    while len(raters) < 3:
        raters.append(raters[-1])
        labels.append(labels[-1])
    scale = min(max(0.5 + 0.5 * (speed - 1.4) / (11 - 1.4), 0.5), 1.0)
    total, ratios = 0.0, []
    for index, across_limit, along_limit in ((11, 1.0, 4.0), (19, 1.8, 7.2)):
        best = -math.inf
        for rater, label in zip(raters[:3], labels[:3], strict=True):
            points = [*rater][:20]
            while len(points) < 20:
                points.append(points[-1])
            direction, before = (1.0, 0.0), (0.0, 0.0)
            for point in points[: index + 1]:
                dx, dy = point[0] - before[0], point[1] - before[1]
                if dx != 0 or dy != 0:
                    direction = (dx, dy)
                before = point
            length = math.hypot(*direction)
            ux, uy = direction[0] / length, direction[1] / length
            ex, ey = prediction[index][0] - points[index][0], prediction[index][1] - points[index][1]
            along, across = abs(ex * ux + ey * uy), abs(-ex * uy + ey * ux)
            ratio = max(along / (along_limit * scale), across / (across_limit * scale))
            best = max(best, label * 0.1 ** max(ratio - 1.0, 0.0))
            ratios.append(ratio)
        total += best / 2
    inside = any(ratios[r] <= 1 and ratios[r + 3] <= 1 for r in range(3))
    return total if inside else max(4.0, total)


def one(prediction: np.ndarray, raters: list[np.ndarray], labels: list[float], speed: float) -> float:
    trajectories, scores = padded_raters(raters, labels)
    found = rater_feedback_score(prediction[None], trajectories[None], scores[None], [speed])
    assert found.shape == (1,)
    assert found[0] == pytest.approx(by_loops(prediction.tolist(), [r.tolist() for r in raters], labels, speed), 1e-12)
    return float(found[0])


def drive(vx: float, vy: float = 0.0, points: int = 20) -> np.ndarray:
    return np.stack([vx * np.arange(1, points + 1) / 4, vy * np.arange(1, points + 1) / 4], axis=1)


def shifted(x: float = 0.0, y: float = 0.0, x5: float | None = None, y5: float | None = None) -> np.ndarray:
    """5 m/s straight on, off by so much up to 3 s, and by so much later."""
    points = drive(5.0)
    points[:12] += (x, y)
    points[12:] += (x if x5 is None else x5, y if y5 is None else y5)
    return points


FAST = 11.0  # m/s: regions of 4.0 x 1.0 and 7.2 x 1.8 m


@pytest.mark.parametrize(
    ("prediction", "label", "expected"),
    [
        (shifted(), 8.0, 8.0),
        (shifted(3.9, 0.9), 8.0, 8.0),
        (shifted(-3.9, -0.9, -7.1, 1.7), 8.0, 8.0),
        (shifted(3.9, 0.9), 2.0, 2.0),  # inside, so no floor
        (shifted(4.0, 1.0), 2.0, 2.0),  # at the threshold is inside
        (shifted(4.000001, 0.0), 2.0, 4.0),
        (shifted(0.0, 1.000001), 2.0, 4.0),
        (shifted(0, 0, 7.3, 0), 2.0, 4.0),  # inside at one time only
        (shifted(8.0, 0.0, 14.4, 0.0), 10.0, 4.0),  # a tenth of 10 at both, and the floor
        (shifted(4.4, 0.0, 0.0, 0.0), 10.0, (10 * 0.1**0.1 + 10) / 2),  # a tenth of a half side beyond, at 3 s
        (shifted(0.0, 0.0, 0.0, 2.7), 10.0, (10 + 10 * 0.1**0.5) / 2),
        (shifted(4.4, 1.2, 0.0, 0.0), 10.0, (10 * 0.1**0.2 + 10) / 2),  # the larger of the two counts
        (shifted(1000.0, 1000.0), 10.0, 4.0),
    ],
)
def test_by_hand(prediction: np.ndarray, label: float, expected: float) -> None:
    assert one(prediction, [drive(5.0)], [label], FAST) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("speed", "size"), [(0.0, 0.5), (1.0, 0.5), (1.4, 0.5), (6.2, 0.75), (11.0, 1.0), (12.0, 1.0), (30.0, 1.0)]
)
def test_regions_grow_with_speed(speed: float, size: float) -> None:
    for beyond, expected in ((0.999, 3.0), (1.001, 4.0)):
        for prediction in (shifted(4.0 * size * beyond), shifted(0.0, size * beyond), shifted(x5=7.2 * size * beyond)):
            assert one(prediction, [drive(5.0)], [3.0], speed) == pytest.approx(expected)


def test_a_car_that_stands_keeps_its_direction() -> None:
    """To the left for 2 s, then it stands: along is to the left. One that never moves looks ahead."""
    left = np.concatenate([drive(0.0, 4.0, 8), np.repeat([[0.0, 8.0]], 12, axis=0)])
    assert one(left + np.array([0.0, 3.9]), [left], [3.0], FAST) == 3.0
    assert one(left + np.array([3.9, 0.0]), [left], [3.0], FAST) == 4.0
    still = np.zeros((20, 2))
    assert one(still + np.array([3.9, 0.0]), [still], [3.0], FAST) == 3.0
    assert one(still + np.array([0.0, 3.9]), [still], [3.0], FAST) == 4.0
    later = np.concatenate([np.zeros((13, 2)), drive(0.0, 4.0, 7)])  # looks ahead at 3 s, to the left at 5 s
    assert one(later + np.array([3.9, 0.0]), [later], [10.0], FAST) == pytest.approx(
        (10 + 10 * 0.1 ** (3.9 / 1.8 - 1)) / 2
    )


def test_the_best_rater_counts_at_each_time() -> None:
    raters = [drive(5.0), drive(5.0) + np.array([0.0, 5.0]), drive(9.0)]
    assert one(shifted(y=5.0), raters, [9.0, 6.0, 1.0], FAST) == pytest.approx(6.0)  # not the first, which is better
    apart = shifted(0.0, 5.0, 0.0, 0.0)  # in the second's region at 3 s and in the first's at 5 s: in nobody's at both
    assert one(apart, raters, [9.0, 2.0, 1.0], FAST) == pytest.approx((2.0 + 9.0) / 2)
    assert one(apart, raters, [3.0, 2.0, 1.0], FAST) == pytest.approx(4.0)


def test_raters_that_are_missing_are_the_last_one_again() -> None:
    trajectories, scores = padded_raters([drive(5.0), drive(3.0)], [9.0, 4.0])
    assert scores.tolist() == [9.0, 4.0, 4.0] and np.array_equal(trajectories[1], trajectories[2])
    trajectories, scores = padded_raters([drive(5.0), drive(3.0), drive(2.0), drive(1.0)], [1.0, 2.0, 3.0, 4.0])
    assert scores.tolist() == [1.0, 2.0, 3.0] and trajectories[2, -1, 0] == 10.0
    assert one(drive(5.0), [drive(5.0)], [7.0], FAST) == 7.0
    trajectories, scores = padded_raters([], [])
    assert trajectories.shape == (3, 20, 2) and scores.tolist() == [-1.0] * 3


def test_trajectories_of_other_lengths() -> None:
    long, short = drive(5.0, points=21), drive(5.0, points=7)
    trajectories, _ = padded_raters([long, short], [1.0, 2.0])
    assert np.array_equal(trajectories[0], drive(5.0)) and trajectories[1, 6:].tolist() == [[8.75, 0.0]] * 14
    assert one(np.repeat([[8.75, 0.0]], 20, axis=0), [short], [3.0], FAST) == 3.0


def test_a_thousand_random_cases() -> None:
    rng = np.random.default_rng(0)
    predictions, raters, labels, speeds = [], [], [], rng.uniform(0, 14, 1000)
    for speed in speeds:
        these = []
        for _ in range(int(rng.integers(1, 5))):
            turn, pace = rng.normal(0, 0.08), rng.uniform(0.3, 1.3)
            points = int(rng.integers(1, 23))
            t = np.arange(1, points + 1) / 4
            path = np.stack([speed * pace * t, turn * speed * t**2], axis=1)
            path[int(rng.integers(points)) :] = path[int(rng.integers(points))]  # it stands from there on
            these.append(path)
        raters.append(these)
        labels.append(rng.uniform(0, 10, len(these)).tolist())
        goal = padded_raters(these[-1:], [0.0])[0][0]
        predictions.append(goal + rng.normal(0, rng.choice([0.2, 1.0, 4.0]), 2))
    padded = [padded_raters(t, s) for t, s in zip(raters, labels, strict=True)]
    found = rater_feedback_score(predictions, [t for t, _ in padded], [s for _, s in padded], speeds)
    wanted = [
        by_loops(p.tolist(), [r.tolist() for r in rs], ls, v)
        for p, rs, ls, v in zip(predictions, raters, labels, speeds, strict=True)
    ]
    assert np.abs(found - wanted).max() < 1e-6
    assert (found == 4).mean() > 0.1 and (found > 4).mean() > 0.2 and (found < 4).mean() > 0.05


def test_displacement() -> None:
    wanted = np.random.default_rng(0).normal(size=(3, 20, 2))
    predicted = wanted.copy()
    predicted[0, :12] += (3.0, 4.0)
    predicted[1, 12:] += (0.0, -2.0)
    assert displacement(predicted, wanted, 3) == pytest.approx([5.0, 0.0, 0.0])
    assert displacement(predicted, wanted, 5) == pytest.approx([5.0 * 12 / 20, 2.0 * 8 / 20, 0.0])
    with pytest.raises(ValueError, match=r"trajectories are \(3, 12, 2\), not \(N, 20, 2\)"):
        displacement(predicted[:, :12], wanted, 3)


def circle(turn: float, speed: float, t: np.ndarray) -> np.ndarray:
    return np.stack([speed / turn * np.sin(turn * t), speed / turn * (1 - np.cos(turn * t))], axis=-1)


def states(places: np.ndarray, speed: float) -> np.ndarray:
    rest = np.zeros((16, 4))
    rest[:, 0] = speed  # only the last counts, which is straight ahead
    return np.concatenate([places, rest], axis=1)


def test_baselines() -> None:
    past_t = np.arange(-15, 1) / 4
    line = states(np.stack([6.0 * past_t, 0 * past_t], axis=1), 6.0)
    left, right = (states(circle(w, 5.0, past_t), 5.0) for w in (0.3, -0.2))
    still = states(np.zeros((16, 2)), 0.0)
    jitter = states(np.random.default_rng(0).normal(0, 0.01, (16, 2)), 0.2)  # it creeps: no direction can be seen
    past = np.stack([line, left, right, still, jitter])
    turned, straight = constant_turn(past), constant_velocity(past)
    assert np.allclose(turned[0], drive(6.0)) and np.allclose(straight[0], drive(6.0))
    assert np.allclose(turned[1], circle(0.3, 5.0, T)) and np.allclose(turned[2], circle(-0.2, 5.0, T))
    assert np.allclose(straight[1], drive(5.0)) and not turned[3].any() and not straight[3].any()
    assert np.allclose(turned[4], drive(0.2))
    slanted = line.copy()
    slanted[-1, 2:4] = (3.0, 4.0)
    assert np.allclose(constant_velocity(slanted[None])[0], drive(3.0, 4.0)) and initial_speed(slanted[None]) == 5.0
