"""Calibration samples of every round, and who watches their runs."""

import numpy as np
import pytest
from small_graphs import model

from vlac.errors import CalibrationError
from vlac.model.carried import set_carried, set_repeat
from vlac.quantize.float_session import FloatSession
from vlac.quantize.rounds import all_rounds


class Seen:
    def __init__(self, names, most=None):
        self.names, self.most, self.runs = names, most, []

    def see(self, values):
        self.runs.append({name: values[name] for name in self.names})


@pytest.fixture
def runs(monkeypatch):
    """How often a float model ran."""
    made, run = [], FloatSession.run

    def counted(self, sample):
        made.append(sample)
        return run(self, sample)

    monkeypatch.setattr(FloatSession, "run", counted)
    return made


def halving():
    return model("d = Mul(x, half) y = Add(d, n)", "float[1,4] x, float[1,4] n", constants={"half": np.float32(0.5)})


SAMPLES = [{"x": np.float32([[8, 16, 24, 32]]) * k, "n": np.float32([[1, 2, 3, 4]])} for k in (1, 3)]


def test_each_round_runs_once_however_many_watch(runs):
    repeated = halving()
    set_carried(repeated, {"x": "y"})
    set_repeat(repeated, 3, None)
    all_, first, none = Seen(["d", "x", "y"]), Seen(["n", "y"], most=4), Seen([])
    found = all_rounds(repeated, SAMPLES, [all_, first, none])
    assert len(runs) == 6 and len(all_.runs) == 6 and len(first.runs) == 4 and not none.runs
    for number, (sample, seen) in enumerate(zip(found, all_.runs, strict=True)):
        x = SAMPLES[number // 3]["x"] if number % 3 == 0 else all_.runs[number - 1]["y"]
        for name, wanted in (("x", x), ("d", x / 2), ("y", x / 2 + sample["n"])):
            np.testing.assert_array_equal(seen[name], wanted)
        np.testing.assert_array_equal(sample["x"], x)
    for number, seen in enumerate(first.runs):
        np.testing.assert_array_equal(seen["y"], all_.runs[number]["y"])
        np.testing.assert_array_equal(seen["n"], SAMPLES[0]["n"])


def test_a_model_that_runs_once_runs_for_its_watchers_alone(runs):
    plain = halving()
    assert all_rounds(plain, SAMPLES) is SAMPLES and not runs
    some = Seen(["d"], most=1)
    assert all_rounds(plain, SAMPLES, [some]) == SAMPLES
    assert len(runs) == len(some.runs) == 1


def test_samples_that_the_model_does_not_run_on_are_named():
    wrong = [{"x": np.zeros((1, 3), np.float32), "n": SAMPLES[0]["n"]}]
    with pytest.raises(CalibrationError, match="the float model does not run on the calibration data"):
        all_rounds(halving(), wrong, [Seen(["d"])])
