"""vla-collect waymo-score: predictions of a baseline or of a file, their scores and their submission."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import waymo_wire as wire
from test_waymo_classes import by_their_classes

from vla_datasets.cli import _parser, main
from vla_datasets.errors import DatasetError
from vla_datasets.waymo.baselines import BASELINES
from vla_datasets.waymo.submission import About, read_about, write_submission

ABOUT = {
    "account_name": "who@example.org",
    "unique_method_name": "straight on",
    "authors": ["Ada", "Bé"],
    "uses_public_model_pretraining": False,
    "num_model_parameters": "200K",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """5 m/s straight on in segment a, 7 instead of 5 m/s in segment b, which is rated, and a frame of a test set."""
    rated = [wire.states(wire.future(v), wire.PLACE, s) for v, s in ((3.0, 6.0), (5.0, 8.0), (9.0, 2.0))]
    fast = wire.states(wire.future(7.0), wire.PLACE)
    wire.write(tmp_path / "train.tfrecord", [wire.frame("a-000"), wire.frame("a-001")])
    wire.write(tmp_path / "val.tfrecord", [wire.frame("b-000", future_states=fast, rated=rated)])
    wire.write(tmp_path / "test.tfrecord", [wire.frame("c-000", future_states=b"")])
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main(["waymo-score", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_a_baseline(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, folder, "--baseline", "constant_velocity").splitlines()
    assert found[0] == f"{folder}: constant_velocity, 4 frames"
    t = np.arange(1, 21) / 4  # wire.future goes 0.1 m/s to the left
    near, far = 0.1 * t, np.hypot(2.0 * t, 0.1 * t)
    ades = [(2 * near[:n].mean() + far[:n].mean()) / 3 for n in (12, 20)]
    assert found[1] == f"ADE@3s {ades[0]:.3f} m, ADE@5s {ades[1]:.3f} m from where the car was (3 frames)"
    rated = f"ADE@3s {near[:12].mean():.3f} m, ADE@5s {near.mean():.3f} m from the best-rated trajectory (1 frames)"
    assert found[2] == f"RFS 8.000 of 10; {rated}"


def test_some_frames(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = said(capsys, folder, "--baseline", "constant_turn", "--split", "train")
    assert "2 frames" in train and "RFS" not in train
    hidden = said(capsys, folder, "--baseline", "constant_turn", "--split", "test")
    assert hidden.endswith("no frame has a future or a rated trajectory to compare with\n")
    names = tmp_path / "names.txt"
    names.write_text("b-000\na-001\n\n", encoding="utf-8-sig")  # as Windows' editors do
    both = said(capsys, folder, "--baseline", "constant_turn", "--names", names)
    assert "2 frames" in both and "(1 frames)" in both
    names.write_text("b-000\nz-001\n")
    assert main(["waymo-score", str(folder), "--baseline", "constant_turn", "--names", str(names)]) == 1
    assert "has not 1 of the frames in" in (shown := capsys.readouterr().err) and "z-001" in shown
    assert main(["waymo-score", str(folder), "--baseline", "constant_turn", "--split", "dev"]) == 1
    assert "has no split 'dev'; it has train, val, test" in capsys.readouterr().err


def test_predictions_of_a_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.json"
    points = {
        "b-000": wire.future(7.0).tolist(),
        "a-001": wire.future(5.0).tolist(),
        "a-000": wire.future(5.0).tolist(),
    }
    path.write_text(json.dumps({**points, "c-000": [[1, 2]] * 20}))
    found = said(capsys, folder, "--predictions", path)
    assert "ADE@3s 0.000 m, ADE@5s 0.000 m from where the car was (3 frames)" in found
    path.write_text(json.dumps(points)[:-1] + f', "a-000": {points["a-001"]}}}')
    assert main(["waymo-score", str(folder), "--predictions", str(path)]) == 1
    assert "p.json cannot be read: it has 'a-000' twice" in capsys.readouterr().err
    for value, message in (
        ([1, 2], "is no object"),
        ({"a-000": points["a-000"]}, "has no prediction of 3 of 4 frames, such as a-001"),
        ({**points, "c-000": [[1, 2]] * 12}, r"the prediction of c-000 is \(12, 2\); it must be 20 pairs"),
        ({**points, "c-000": [[1, None]] * 20}, "the prediction of c-000 holds what is no number"),
        ({**points, "c-000": [["1", "2"]] * 20}, "the prediction of c-000 holds what is no number"),
        ({**points, "c-000": [[True, False]] * 20}, "the prediction of c-000 holds what is no number"),
        ({**points, "c-000": [[1, float("nan")]] * 20}, r"of c-000 has nan; all must be metres up to 1e\+06"),
        ({**points, "c-000": [[1e308, 1e308]] * 20}, r"of c-000 has 1e\+308; all must be metres up to 1e\+06"),
        ({**points, "c-000": [[1, "left"]] * 20}, "the prediction of c-000 holds what is no number"),
        ({**points, "c-000": [[1, 2], [3]]}, "the prediction of c-000 holds what is no number"),
    ):
        path.write_text(json.dumps(value))
        assert main(["waymo-score", str(folder), "--predictions", str(path)]) == 1
        assert re.search(f"{path}.*{message}", capsys.readouterr().err), message


def toml(values: dict[str, Any]) -> str:
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())


def test_a_submission(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about, out = tmp_path / "about.toml", tmp_path / "out.bin"
    about.write_text(toml(ABOUT), encoding="utf-8")
    options = ["--baseline", "constant_velocity", "--split", "test", "--submission", out, "--about", about]
    assert said(capsys, folder, *options).endswith(f"{out}: 1 predictions\n")
    straight = np.stack([5 * np.arange(1, 21) / 4, np.zeros(20)], axis=1)
    assert out.read_bytes() == expected({"c-000": straight})
    records = sorted(folder.glob("*.tfrecord*"))
    for read in (records[0], about):
        kept = read.read_bytes()
        command = ["waymo-score", folder, *options[:4], "--submission", read, "--about", about]
        assert main([str(part) for part in command]) == 1
        assert "is a file that is read; choose another --submission" in capsys.readouterr().err
        assert read.read_bytes() == kept
    for wrong in (["--submission", str(out)], ["--about", str(about)]):
        assert main(["waymo-score", str(folder), "--baseline", "constant_turn", *wrong]) == 2
        assert "belong together" in capsys.readouterr().err


def expected(predictions: dict[str, np.ndarray]) -> bytes:
    """The message's bytes, by hand."""
    entries = (
        wire.field(1, wire.field(1, name) + wire.field(2, wire.states(points.astype(np.float32), wire.PLACE)))
        for name, points in predictions.items()
    )
    says = [(2, 1), (3, "who@example.org"), (4, "straight on"), (5, "Ada"), (5, "Bé"), (11, 0), (12, "200K")]
    return b"".join(entries) + b"".join(wire.field(number, value) for number, value in says)


def test_their_classes_read_a_submission(tmp_path: Path) -> None:
    more = {
        "affiliation": "A school",
        "description": "Ahead.",
        "method_link": "https://example.org",
        "public_model_names": ["One-7B", "Two"],
    }
    about = About(**{**ABOUT, "uses_public_model_pretraining": True}, **more)  # type: ignore[arg-type]
    points = np.random.default_rng(0).normal(size=(2, 20, 2)).astype(np.float32)
    write_submission(tmp_path / "s.bin", about, {"a-1": points[0], "b-2": points[1]})
    assert by_their_classes("submission", tmp_path / "s.bin") == {
        "predictions": {"a-1": points[0].T.tolist(), "b-2": points[1].T.tolist()},
        "type": "E2ED_SUBMISSION",
        "account": "who@example.org",
        "method": "straight on",
        "authors": ["Ada", "Bé"],
        "affiliation": "A school",
        "description": "Ahead.",
        "link": "https://example.org",
        "pretraining": True,
        "parameters": "200K",
        "models": ["One-7B", "Two"],
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"account_name": "who"}, "'account_name' is 'who'; it must be the email"),
        ({"unique_method_name": " "}, "'unique_method_name' is ' '"),
        ({"authors": []}, r"'authors' is \[\]; it must be one name or more"),
        ({"authors": "Ada"}, "'authors' is 'Ada'; it must be a list of texts"),
        ({"authors": [1]}, r"'authors' is \[1\]; it must be a list of texts"),
        ({"num_model_parameters": "200000"}, "'num_model_parameters' is '200000'; it must be such as '200K'"),
        ({"num_model_parameters": 200}, "'num_model_parameters' is 200; it must be a text"),
        ({"num_model_parameters": "0K"}, "'num_model_parameters' is '0K'"),
        ({"uses_public_model_pretraining": "no"}, "'uses_public_model_pretraining' is 'no'; it must be true or false"),
        ({"uses_public_model_pretraining": 1}, "is 1; it must be true or false"),
        ({"uses_public_model_pretraining": True}, r"'public_model_names' is \[\]; it must be the models' names"),
        ({"public_model_names": ["One"]}, r"'public_model_names' is \['One'\]; it must be empty"),
        ({"description": 3}, "'description' is 3; it must be a text"),
        ({"descripton": "a"}, "there is no 'descripton' in a submission; there are account_name"),
    ],
)
def test_what_a_submission_must_say(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    path = tmp_path / "about.toml"
    path.write_text(toml({**ABOUT, **values}), encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        read_about(path)


@pytest.mark.parametrize("name", ABOUT)
def test_what_a_submission_needs(tmp_path: Path, name: str) -> None:
    path = tmp_path / "about.toml"
    path.write_text(toml({key: value for key, value in ABOUT.items() if key != name}), encoding="utf-8")
    with pytest.raises(DatasetError, match=f"a submission needs {name} too"):
        read_about(path)
    path.write_text("account_name = ")
    with pytest.raises(DatasetError, match=r"about\.toml cannot be read"):
        read_about(path)


def test_predictions_that_are_none(tmp_path: Path) -> None:
    about, path = About(**ABOUT), tmp_path / "s.bin"  # type: ignore[arg-type]
    for predictions, message in (
        ({}, "without predictions is none"),
        ({"a-1": np.zeros((12, 2))}, r"the prediction of frame 'a-1' is \(12, 2\)"),
        ({"a-1": np.full((20, 2), np.nan)}, r"it must be \(20, 2\) finite numbers"),
        ({"": np.zeros((20, 2))}, "frame ''"),
    ):
        with pytest.raises(DatasetError, match=message):
            write_submission(path, about, predictions)
    assert not path.exists()


def test_the_command_knows_every_baseline() -> None:
    commands = _parser().commands
    assert commands is not None
    (option,) = (a for a in commands.choices["waymo-score"]._actions if a.dest == "baseline")
    assert option.choices is not None and set(option.choices) == set(BASELINES)
    assert {one.name for one in dataclasses.fields(About)} >= set(ABOUT)
