"""Actions that take effect late: when, by hand; what becomes of success; the table and the chart of several clocks."""

from __future__ import annotations

import json
import xml.etree.ElementTree
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from wall_world import WORLD, Braking

from vla_datasets.keys import Sample
from vla_datasets.worlds import registry as worlds
from vla_training.cli import main
from vla_training.errors import EvaluationError
from vla_training.evaluate import closed_loop
from vla_training.evaluate.backends import RunnerSpec, ServerSpec
from vla_training.evaluate.closed_loop import evaluate, load_evaluation, save_evaluation
from vla_training.evaluate.live import LiveRunner, delay
from vla_training.evaluate.live_chart import live_chart
from vla_training.evaluate.runner import Runner
from vla_training.evaluate.runners import circuits_runner
from vla_training.evaluate.sweep import sweep, table

SPEC = ServerSpec("127.0.0.1:1")


@pytest.mark.parametrize(
    ("cycles", "clock_mhz", "fps", "late"),
    [
        (0, 300, 10, (0, 0)),
        (300, 300, 10, (0, 1e-6)),
        (15_000_000, 300, 10, (0, 0.05)),
        (30_000_000, 300, 10, (1, 0)),  # a tenth of a second is one step, neither none nor two
        (30_000_001, 300, 10, (2, 0)),
        (75_000_000, 300, 10, (3, 0)),  # 2.5 steps
        (10_000, 0.1, 10, (1, 0)),  # neither 0.1 MHz nor its product is exact as a float
        (30_000, 0.3, 30, (3, 0)),
        (3, 1e-06, 50, (150, 0)),
    ],
)
def test_how_late_a_call_is(cycles: int, clock_mhz: float, fps: int, late: tuple[int, float]) -> None:
    assert delay(cycles, clock_mhz, fps) == late


class Chunks(Runner):
    """A chunk for the observation of step t is 100 t, 100 t + 1, ...; keeps at which steps it was asked."""

    def __init__(self, length: int, cycles: list[int]) -> None:
        super().__init__()
        self._length, self._counts, self.asked = length, cycles, []  # type: ignore[var-annotated]

    def begin(self, slot: int, task: str, seed: int) -> None:
        pass

    def ask(self, observations: Mapping[int, Sample]) -> dict[int, npt.NDArray[Any]]:
        self.asked.append({slot: int(seen["step"]) for slot, seen in observations.items()})
        return {slot: 100 * seen["step"] + np.arange(self._length) for slot, seen in observations.items()}

    def cycles(self) -> int:
        return self._counts[min(len(self.asked), len(self._counts)) - 1]


BY_HAND = {  # chunk, cycles of a call in thousands of a step: what is done at each step (-1: idle)
    "at once": (1, 0, [0, 100, 200, 300]),
    "at once, chunks": (3, 0, [0, 1, 2, 300, 301, 302, 600]),
    "within a step": (1, 999, [0, 100, 200, 300]),
    "within a step, chunks": (3, 500, [0, 1, 2, 300, 301, 302, 600]),
    "a whole step": (1, 1000, [-1, 0, 100, 200, 300]),
    "two and a half steps": (1, 2500, [-1, -1, -1, 0, 0, 0, 300, 300, 300, 600]),
    "a chunk that lasts": (4, 1000, [-1, 0, 1, 2, 3, 400, 401, 402, 403, 800]),
    "a chunk that lasts just so long": (2, 2000, [-1, -1, 0, 1, 200, 201, 400, 401, 600]),
    "a chunk that does not last": (2, 3000, [-1, -1, -1, 0, 1, 1, 300, 301, 301, 600]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_what_is_done_at_each_step(name: str) -> None:
    length, cycles, wanted = BY_HAND[name]
    runner = LiveRunner(Chunks(length, [cycles * 100]), 1, 10, -1)  # at 1 MHz a step is 100,000 cycles
    for _ in range(2):  # another episode begins like the first
        runner.reset(0, "go", 0)
        assert [int(runner.act({0: {"step": step}})[0]) for step in range(len(wanted))] == wanted


def test_a_call_within_a_step_takes_seconds_of_it() -> None:
    """Only the step that asks waits, half of its tenth of a second; the rest of the chunk is there."""
    runner = LiveRunner(Chunks(3, [50_000]), 1, 10, -1)
    runner.reset(0, "go", 0)
    waited = []
    for step in range(5):
        runner.act({0: {"step": step}})
        waited.append(runner.elapsed(0))
    assert waited == [0.05, 0, 0, 0.05, 0]


def test_slots_wait_each_for_itself() -> None:
    chunks = Chunks(1, [200_000])
    runner = LiveRunner(chunks, 1, 10, -1)
    runner.reset(0, "go", 0)
    found = [runner.act({0: {"step": 0}})]
    runner.reset(1, "go", 1)  # begins a step later
    for step in range(1, 6):
        found.append(runner.act({0: {"step": step}, 1: {"step": step - 1}}))
    assert [int(f[0]) for f in found] == [-1, -1, 0, 0, 200, 200]
    assert [int(f[1]) for f in found[1:]] == [-1, -1, 0, 0, 200]
    assert chunks.asked == [{0: 0}, {1: 0}, {0: 2}, {1: 2}, {0: 4}, {1: 4}]


def test_a_call_that_is_faster_than_the_one_before_takes_the_place_of_the_rest() -> None:
    runner = LiveRunner(Chunks(4, [300_000, 100_000]), 1, 10, -1)
    runner.reset(0, "go", 0)
    done = [int(runner.act({0: {"step": step}})[0]) for step in range(8)]
    assert done == [-1, -1, -1, 0, 1, 400, 401, 402]  # asked at 4, with three left, as a call took three steps


class Routed(Chunks):
    """Each slot's calls take cycles of their own, as those of circuits do."""

    def __init__(self, cycles: Mapping[int, int]) -> None:
        super().__init__(1, [max(cycles.values())])
        self._own = cycles

    def cycles_of(self, slot: int) -> int:
        return self._own[slot]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_each_slot_is_late_by_its_own_call(order: tuple[int, int]) -> None:
    """Both are asked at once: who was asked last does not say how long the other one's call took."""
    runner = LiveRunner(Routed({0: 100_000, 1: 300_000}), 1, 10, -1)
    for slot in order:
        runner.reset(slot, "go", slot)
    found = [runner.act({slot: {"step": step} for slot in order}) for step in range(6)]
    assert [int(f[0]) for f in found] == [-1, 0, 100, 200, 300, 400]
    assert [int(f[1]) for f in found] == [-1, -1, -1, 0, 0, 0]
    assert runner.cycles() == 300_000


def test_circuits_are_counted_for_each_slot() -> None:
    """The longest call is what an evaluation says, whichever came last."""
    counts = {"left": 700, "right": 500}

    class Circuits:
        program = SimpleNamespace(entries=dict.fromkeys(counts, 0))

        def run(self, inputs: Mapping[str, Any], entry: str) -> dict[str, Any]:
            self.cycles = counts[entry]
            return {"out": inputs["in"]}

    class Commanded:
        input_names, output_names = ("in",), ("out",)

        def reset(self, task: str, seed: int = 0) -> None:
            pass

        def inputs(self, observation: Mapping[str, Any]) -> dict[str, Any]:
            return {"in": np.array([[observation["command"]]])}

        def entry(self, inputs: Mapping[str, Any]) -> str:
            return list(counts)[int(inputs["in"].item())]

        def actions(self, outputs: Mapping[str, Any]) -> Any:
            return outputs["out"]

    runner = circuits_runner(RunnerSpec("sim", Path("p.bin")), Circuits(), Commanded)
    assert runner.cycles() is None and runner.cycles_of(0) is None
    for slot in range(3):
        runner.reset(slot, "go", slot)
    runner.ask({0: {"command": 0}, 1: {"command": 1}, 2: {"command": 1}})
    assert [runner.cycles_of(slot) for slot in range(3)] == [700, 500, 500] and runner.cycles() == 700
    runner.ask({0: {"command": 1}})
    assert [runner.cycles_of(slot) for slot in range(3)] == [500, 500, 500] and runner.cycles() == 700


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The wall's world is registered, and whatever is evaluated brakes in 100,000 cycles."""
    monkeypatch.setattr(worlds, "WORLDS", (*worlds.WORLDS, WORLD))
    monkeypatch.setattr(closed_loop, "make_runner", lambda spec: Braking(100_000))
    return monkeypatch


def scores(clock_mhz: float | None) -> dict[int, float]:
    """Places left to the wall, by the length of the way."""
    found = evaluate(SPEC, "wall", "flat", 6, clock_mhz=clock_mhz)
    assert found.clock_mhz == clock_mhz and found.cycles == 100_000
    assert all(e.success == (e.score > 0) and e.failure == ("" if e.success else "broken") for e in found.episodes)
    by_way = {10 + e.seed % 3: e.score for e in found.episodes}
    assert [by_way[10 + e.seed % 3] for e in found.episodes] == [e.score for e in found.episodes]
    return by_way


def test_success_in_a_world_that_moves_on(wall: pytest.MonkeyPatch) -> None:
    """It rolls from 10 places: seen at 3 (step 7), it brakes a step late at 2. Two steps late it looks only at steps
    0, 2, 4, ...: from 10 it sees 4 and then 2, and is at the wall when it brakes; from 11 it sees 3 and stops at 1.
    Half a step late it rolls 1.5 places a step: from 10 it sees 8.5, 7, 5.5, 4, 2.5 and stops at 2."""
    assert scores(None) == {10: 3, 11: 3, 12: 3}
    assert scores(2) == pytest.approx({10: 2, 11: 1.5, 12: 2.5})
    assert scores(1000) == pytest.approx({10: 2.992, 11: 2.991, 12: 2.99})  # a thousandth of a place a step
    assert scores(1) == {10: 2, 11: 2, 12: 2}
    assert scores(0.5) == {10: 0, 11: 1, 12: 0}
    assert scores(0.34) == {10: 0, 11: 0, 12: 0}  # three steps: asked at 0, 3, 6, 9; 11 - 9 = 2 are left


def test_the_table_and_the_chart(wall: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = sweep([SPEC], "wall", "flat", 6, (1000, 0.5))
    lines = [line.split() for line in table(rows).splitlines()]
    assert [line[:6] for line in lines[1:]] == [
        ["server", "waits", "100,000", "-", "0", "100.0"],
        ["server", "1000", "100,000", "0.1", "0", "100.0"],
        ["server", "0.5", "100,000", "200", "2", "33.3"],
    ]
    svg = live_chart(rows)
    root = xml.etree.ElementTree.fromstring(svg)
    titles = [e.text for e in root.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["server, 0.5 MHz: 33.3 %, 2 steps late", "server, 1000 MHz: 100.0 %, 0 steps late"]
    points = next(root.iter("{http://www.w3.org/2000/svg}polyline")).attrib["points"].split()
    (x, y), (right, top) = ([float(n) for n in point.split(",")] for point in points)
    assert x < right and y > top
    xml.etree.ElementTree.fromstring(live_chart(sweep([SPEC], "wall", "flat", 1, (3,))))  # one clock
    save_evaluation(tmp_path / "e.json", rows[2].evaluation)
    assert load_evaluation(tmp_path / "e.json") == rows[2].evaluation
    save_evaluation(tmp_path / "e.json", rows[1].evaluation)
    assert load_evaluation(tmp_path / "e.json") == rows[1].evaluation
    assert all(set(e.elapsed) == {0.0001} and len(e.elapsed) == len(e.actions) for e in rows[1].evaluation.episodes)
    assert not any(e.elapsed for e in (*rows[0].evaluation.episodes, *rows[2].evaluation.episodes))


def test_refusals(wall: pytest.MonkeyPatch, run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    where = ["evaluate", "--server", "127.0.0.1:1", "--world", "babyai", "--level", "GoToObj"]
    for arguments, code, said in (
        ([*where, "--live", "0"], 2, "'0' is no list of different clocks in MHz"),
        ([*where, "--live", "1,1.0"], 2, "different clocks"),
        ([*where, "--live", "nan"], 2, "different clocks"),
        ([*where, "--plot", str(tmp_path / "x.svg")], 2, "give --live"),
        (["evaluate", str(run), str(run), "--level", "GoToObj"], 2, "several are compared with --live only"),
        (["evaluate", str(run), "--level", "GoToObj", "--live", "1"], 1, "is no program"),
    ):
        assert main(arguments) == code
        assert said in capsys.readouterr().err
    with pytest.raises(EvaluationError, match="'float' has none"):
        evaluate(RunnerSpec("float", run), "babyai", "GoToObj", 1, clock_mhz=1)
    wall.setattr(closed_loop, "make_runner", lambda spec: Braking(None))
    with pytest.raises(EvaluationError, match="counts none"):
        evaluate(SPEC, "wall", "flat", 1, clock_mhz=1)
    slower = Braking(1)
    slower.frequency = 3.0
    wall.setattr(closed_loop, "make_runner", lambda spec: slower)
    for clock in (None, 1):
        with pytest.raises(
            EvaluationError, match=r"acts 3 times a second, and in the world 'wall' there are \d+ actions"
        ):
            evaluate(SPEC, "wall", "flat", 1, clock_mhz=clock)
    partly = Braking(1)
    partly.computes_on_host = True
    wall.setattr(closed_loop, "make_runner", lambda spec: partly)
    with pytest.raises(EvaluationError, match="run on the host"):
        evaluate(SPEC, "wall", "flat", 1, clock_mhz=1)
    wall.setattr(worlds, "WORLDS", (replace(WORLD, schema="wall_world:NO_IDLE"),))
    with pytest.raises(EvaluationError, match="'idle' of its schema"):
        evaluate(SPEC, "wall", "flat", 1, clock_mhz=1)


@pytest.mark.slow
def test_programs_of_two_configs(run: Path, data: Path, tmp_path: Path) -> None:
    from vla_models.export_onnx import export_onnx
    from vla_models.saved import load_policy
    from vla_toolchain.vlac_cli import main as vlac
    from vla_training.calibrate import write_calibration
    from vla_training.checkpoint import pretrained_folder

    model, calibration, output = tmp_path / "model.onnx", tmp_path / "calib.npz", tmp_path / "rows.json"
    export_onnx(load_policy(pretrained_folder(run)), model)
    write_calibration(data, run, calibration, 16)
    programs = {config: tmp_path / f"{config}.bin" for config in ("u50", "tiny")}
    for config, path in programs.items():
        assert vlac(["compile", str(model), "-o", str(path), "--config", config, "--calib", str(calibration)]) == 0
    command = ["evaluate", *map(str, programs.values()), "--policy", str(run), "--level", "GoToObj", "--episodes", "2"]
    plot = tmp_path / "plot.svg"
    assert main([*command, "--live", "300,0.5", "--plot", str(plot), "-o", str(output), "--workers", "1"]) == 0
    rows = json.loads(output.read_text())
    assert [(row["name"], row["clock_mhz"]) for row in rows] == [
        (config, clock) for config in programs for clock in (None, 300, 0.5)
    ]
    cycles = [row["cycles"] for row in rows]
    assert len(set(cycles[:3])) == len(set(cycles[3:])) == 1 and cycles[0] < cycles[3]
    late = [-(-10 * count // 500_000) if 10 * count >= 500_000 else 0 for count in cycles[2::3]]
    assert [row["delay_steps"] for row in rows[2::3]] == late
    assert rows[0]["results"] == rows[3]["results"]  # the same integers on both
    assert plot.read_text().count("<polyline") == 2
