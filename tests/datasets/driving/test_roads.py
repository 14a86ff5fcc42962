"""The map and the routes, against geometry that is worked out here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_datasets.errors import WorldError
from vla_datasets.worlds.driving.lanes import Lane, LaneMap, read_map, wrapped
from vla_datasets.worlds.driving.opendrive import LANE_WIDTH, Grid, grid_town
from vla_datasets.worlds.driving.route import SPACING, SPLITS, Route, find_route, random_route, route_split
from vla_datasets.worlds.driving.schema import COMMANDS


@pytest.fixture(scope="module")
def town() -> LaneMap:
    return read_map(grid_town())


def test_the_grid_has_its_lanes(town: LaneMap) -> None:
    """3 x 3 junctions: 12 streets of two lanes each way; 4 corners, 4 sides and a middle with their ways through."""
    streets = [lane for lane in town.lanes if lane.junction < 0]
    assert len(streets) == 12 * 4 and all(lane.length == pytest.approx(80 - 2 * 14, abs=1.1) for lane in streets)
    middle = next(lane.junction for lane in town.lanes if np.hypot(*(lane.points - [80, -80]).T).min() < 3)
    assert [lane.turn for lane in town.lanes if lane.junction == middle].count("left") == 4
    assert [lane.turn for lane in town.lanes if lane.junction == middle].count("right") == 4
    assert [lane.turn for lane in town.lanes if lane.junction == middle].count("straight") == 8


def test_one_drives_on_the_right_and_lanes_lie_side_by_side(town: LaneMap) -> None:
    for beside, left, right in ((0.5, False, True), (1.5, True, False)):
        lane, along, off = town.nearest(40.0, beside * LANE_WIDTH, 0.0)  # east, south of the middle of the street y = 0
        assert along == pytest.approx(40 - 14, abs=0.1) and off == pytest.approx(0, abs=0.05)
        assert (lane.left >= 0, lane.right >= 0) == (left, right)
    inner, outer = (town.nearest(40.0, y * LANE_WIDTH, 0.0)[0] for y in (0.5, 1.5))
    assert (inner.right, outer.left) == (outer.number, inner.number)
    assert town.nearest(40.0, -0.5 * LANE_WIDTH, math.pi)[2] == pytest.approx(0, abs=0.05)
    assert town.nearest(40.0, 0.5 * LANE_WIDTH + 0.7, 0.0)[2] == pytest.approx(0.7, abs=0.05)


def test_lanes_lead_on_without_a_gap_or_a_bend(town: LaneMap) -> None:
    for lane in town.lanes:
        assert lane.successors
        for number in lane.successors:
            following = town.lanes[number]
            assert math.dist(lane.points[-1], following.points[0]) < 0.05
            assert abs(wrapped(lane.yaws[-1] - following.yaws[0])) < 0.02


@pytest.mark.parametrize("seed", range(20))
def test_a_route_is_even_and_its_commands_say_what_the_path_does(town: LaneMap, seed: int) -> None:
    route = random_route(town, np.random.default_rng(seed))
    gaps = np.hypot(*np.diff(route.points, axis=0).T)
    assert np.all((gaps > 0.97 * SPACING) & (gaps < 1.01 * SPACING))
    yaws = np.unwrap(route.yaws)
    assert np.abs(np.diff(yaws)).max() < 0.13  # no sharper than the tightest turn, 8.75 m
    begin = 0
    for end in [*(np.flatnonzero(np.diff(route.commands)) + 1), len(route.commands)]:
        name, turned = COMMANDS[route.commands[begin]], yaws[end - 1] - yaws[begin]
        if end == len(route.commands) or begin == 0:
            pass  # cut
        elif name == "turn left":
            assert turned == pytest.approx(-math.pi / 2, abs=0.15)
        elif name == "turn right":
            assert turned == pytest.approx(math.pi / 2, abs=0.15)
        else:
            assert turned == pytest.approx(0, abs=0.15)
        if name.startswith("change lane") and end < len(route.commands):
            lane = town.lanes[route.lanes[end - 2]]
            assert route.lanes[end + 1] == (lane.right if name.endswith("right") else lane.left)
        begin = int(end)
    for point, number in zip(route.points, route.lanes, strict=True):
        lane = town.lanes[number]
        assert np.hypot(*(lane.points - point).T).min() < LANE_WIDTH + 0.6


def test_a_route_ends_where_it_should(town: LaneMap) -> None:
    streets = [lane for lane in town.lanes if lane.junction < 0]
    start, goal = streets[0], streets[-1]
    route = find_route(town, start.number, goal.number)
    assert math.dist(route.points[0], start.points[0]) < 0.1 and math.dist(route.points[-1], goal.points[-1]) < 1.6


def test_the_cross_track_error_is_the_distance_to_the_path_not_to_its_nearest_point() -> None:
    """Half way between two points, 0.3 m beside: 0.3 m, where the nearest point is 0.58 m away."""
    straight = np.stack([np.arange(30.0), np.zeros(30)], axis=1)
    route = Route(straight, np.zeros(30), np.zeros(30, np.int64), np.zeros(30, np.int64))
    for x in (0.0, 7.0, 7.25, 7.5, 7.75, 29.0):
        assert route.off(x, 0.3) == pytest.approx(0.3)
        assert route.off(x, -0.3, 0, None) == pytest.approx(0.3)
    assert route.off(-1.0, 0.0) == pytest.approx(1.0) and route.off(33.0, 3.0) == pytest.approx(5.0)


def test_maps_without_a_way_are_refused() -> None:
    alone = Lane(0, np.array([[0.0, 0.0], [50.0, 0.0]]), np.zeros(2), 3.5, -1)
    other = Lane(1, np.array([[0.0, 9.0], [50.0, 9.0]]), np.zeros(2), 3.5, -1)
    with pytest.raises(WorldError, match="no way leads"):
        find_route(LaneMap([alone, other]), 0, 1)
    with pytest.raises(WorldError, match="has no route"):
        random_route(LaneMap([alone, other]), np.random.default_rng(0))
    with pytest.raises(WorldError, match="no OpenDRIVE text"):
        read_map("this is no map")


def test_other_grids(town: LaneMap) -> None:
    larger = read_map(grid_town(Grid(4, 2, 100.0, 15.0)))
    assert sum(lane.junction < 0 for lane in larger.lanes) == 10 * 4 and all(lane.successors for lane in larger.lanes)


def test_routes_of_evaluation_and_of_each_split_are_apart(town: LaneMap) -> None:
    """Every test route has a way through a junction that no other route has, every validation route one that no route
    of training has; half of all routes at most are kept from training."""
    drawn: dict[str, list[set[int]]] = {}
    for split in SPLITS:
        rng = np.random.default_rng(5)
        for _ in range(120):
            route = random_route(town, rng, (split,))
            assert route.split == split == route_split(route.lanes, town)
            ways = {int(number) for number in route.lanes if town.lanes[number].junction >= 0}
            drawn.setdefault(split, []).append(ways)
    trained = set().union(*drawn["train"])
    shown = trained.union(*drawn["val"])
    assert all(ways - shown for ways in drawn["test"]) and all(ways - trained for ways in drawn["val"])
    rng = np.random.default_rng(6)
    splits = [random_route(town, rng).split for _ in range(200)]
    assert splits.count("train") >= 80 and min(splits.count("val"), splits.count("test")) >= 20
