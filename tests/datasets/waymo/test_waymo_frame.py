"""What a frame's bytes say, and what is refused: against bytes that the tests write by hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import waymo_wire as wire
from PIL import Image

from vla_datasets.errors import DatasetError
from vla_datasets.waymo.frame import Calibration, Frame, Rated, frame_bytes, parse_frame
from vla_datasets.waymo.jpeg import decode_jpeg, encode_jpeg
from vla_datasets.waymo.names import Camera, Intent, one_hot

WHERE = "a.tfrecord: record at byte 0"
COLORS = {camera: (camera * 20, 255 - camera * 20, 90) for camera in range(1, 9)}


def test_every_field() -> None:
    rated = [wire.states(wire.future(v)[:n], wire.PLACE, s) for v, n, s in ((5, 20, 9.5), (3, 7, 0), (8, 20, 10))]
    found = parse_frame(wire.frame("abc-012", intent=3, rated=rated, past_states=None), WHERE)
    assert (found.name, found.intent, found.images) == ("abc-012", Intent.GO_RIGHT, {})
    assert np.array_equal(found.past, wire.past()) and found.past.dtype == np.float32
    assert found.future is not None and np.array_equal(found.future, wire.future())
    assert [(r.score, len(r.points)) for r in found.rated] == [(9.5, 20), (0, 7), (10, 20)]
    assert np.array_equal(found.rated[1].points, wire.future(3)[:7])


def test_pictures_are_found_by_the_camera_that_they_name() -> None:
    """Not by their place in the list: the front camera's may be anywhere in it."""
    for order in ([1, 2, 3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1], [4, 1, 7, 3, 8, 2, 6, 5], [2, 1]):
        images = [(camera, wire.jpeg(COLORS[camera])) for camera in order]
        found = parse_frame(wire.frame(images=images), WHERE).images
        assert set(found) == {Camera(number) for number in order}
        for camera, jpeg in found.items():
            mean = decode_jpeg(jpeg, WHERE).mean(axis=(0, 1))
            assert np.abs(mean - COLORS[camera]).max() < 4, camera


@pytest.mark.parametrize(
    ("number", "name", "hot"),
    [(0, "UNKNOWN", (0, 0, 0)), (1, "GO_STRAIGHT", (1, 0, 0)), (2, "GO_LEFT", (0, 1, 0)), (3, "GO_RIGHT", (0, 0, 1))],
)
def test_intents_are_the_protos(number: int, name: str, hot: tuple[int, ...]) -> None:
    found = parse_frame(wire.frame(intent=number), WHERE).intent
    assert found.name == name and one_hot([found]).tolist() == [list(hot)]


def test_an_intent_that_is_not_there_is_unknown() -> None:
    whole = wire.frame(intent=2)
    found = parse_frame(whole.replace(wire.field(7, 2), b""), WHERE).intent
    assert found is Intent.UNKNOWN and one_hot(found).sum() == 0
    assert one_hot(np.array([[3, 0], [1, 2]])).shape == (2, 2, 3)
    for wrong in (-1, 4):
        with pytest.raises(ValueError, match="intents are 0 to 3"):
            one_hot([1, wrong])


def test_a_test_set_hides_the_future_and_nobody_rated_most_frames() -> None:
    placeholders = [wire.states(wire.future(), wire.PLACE, -1), wire.states(wire.future(), wire.PLACE)]
    found = parse_frame(wire.frame(future_states=b"", rated=placeholders), WHERE)
    assert found.future is None and found.rated == ()


def test_there_and_back() -> None:
    rng = np.random.default_rng(0)
    calibration = Calibration(rng.normal(size=9), rng.normal(size=(4, 4)), 384, 256)
    frame = Frame(
        "déjà-004",
        {camera: wire.jpeg(COLORS[camera]) for camera in (Camera.REAR, Camera.FRONT)},
        rng.normal(size=(16, 6)).astype(np.float32),
        rng.normal(size=(20, 2)).astype(np.float32),
        Intent.GO_LEFT,
        (Rated(wire.future(), 7.25), Rated(wire.future()[:3], 0.0)),
        {Camera.REAR: calibration},
    )
    assert wire.field(6, wire.states(frame.past, wire.MOTION)) in frame_bytes(frame)  # packed, as Waymo's are
    found = parse_frame(frame_bytes(frame), WHERE)
    assert (found.name, found.images, found.intent) == (frame.name, frame.images, frame.intent)
    assert np.array_equal(found.past, frame.past) and np.array_equal(found.future, frame.future)  # type: ignore[arg-type]
    assert [(r.score, r.points.tolist()) for r in found.rated] == [(r.score, r.points.tolist()) for r in frame.rated]
    (back,) = found.calibrations.values()
    assert np.array_equal(back.intrinsic, calibration.intrinsic) and (back.width, back.height) == (384, 256)
    assert np.array_equal(back.extrinsic, calibration.extrinsic)


def spoiled(values: np.ndarray, value: float) -> np.ndarray:
    values = values.copy()
    values[3, 1] = value
    return values


CALIBRATION = wire.field(1, 1) + wire.doubles(2, range(8)) + wire.field(3, wire.doubles(1, range(16)))
CASES: dict[str, tuple[bytes, str]] = {
    "no message": (b"\xff\xff\xff", "is no frame of Waymo's end-to-end set"),
    "cut": (wire.frame()[:-20], "is no frame"),
    "no name": (wire.frame(name=b""), "its name is ''; it must be 1 to 200 printable"),
    "long name": (wire.frame(name=b"a" * 201), "its name is 'a{40}'"),
    "name": (wire.frame(name=b"a\x1b[2J-1"), r"its name is 'a\\x1b\[2J-1'"),
    "name no text": (wire.frame(name=b"a\xff"), "its name is no text"),
    "intent": (wire.frame(intent=4), "frame segment-000: its intent is 4; there are 0 to 3"),
    "negative intent": (wire.frame(intent=-1), "its intent is -1"),
    "camera": (wire.frame(images=[(1, b""), (9, b"")]), "image 1 is of camera 9; there are 1 to 8"),
    "no camera": (wire.frame(images=[(0, b"")]), "image 0 is of camera 0"),
    "twice": (wire.frame(images=[(2, b""), (1, b""), (2, b"")]), "image 2 is another one of camera front_left"),
    "no past": (wire.frame(past_states=b""), "past_states has 0 values of pos_x; it must be 16"),
    "short past": (wire.frame(past_states=wire.states(wire.past()[1:], wire.MOTION)), "15 values of pos_x"),
    "no speed": (wire.frame(past_states=wire.states(wire.past()[:, :2], wire.PLACE)), "0 values of vel_x"),
    "short": (wire.frame(future_states=wire.states(wire.future()[:12], wire.PLACE)), "future_states has 12 values"),
    "ragged": (wire.frame(future_states=wire.field(1, wire.future()[:, 0])), "future_states has 0 values of pos_y"),
    "not a number": (
        wire.frame(past_states=wire.states(spoiled(wire.past(), np.nan), wire.MOTION)),
        "past_states has a value that is no finite number",
    ),
    "infinite": (
        wire.frame(future_states=wire.states(spoiled(wire.future(), np.inf), wire.PLACE)),
        "future_states has a value that is no finite number",
    ),
    "far": (
        wire.frame(past_states=wire.states(spoiled(wire.past(), -3e30), wire.MOTION)),
        r"past_states has a value of 3e\+30; it must be up to 1e\+06",
    ),
    "far rated": (
        wire.frame(rated=[wire.states(spoiled(wire.future(), 2e6), wire.PLACE, 5.0)]),
        r"preference_trajectories 0.* has a value of 2e\+06",
    ),
    "score": (
        wire.frame(rated=[wire.states(wire.future(), wire.PLACE, 10.5)]),
        "preference_trajectories 0 has the score 10.5; it must be 0 to 10",
    ),
    "no score": (wire.frame(rated=[wire.states(wire.future(), wire.PLACE, float("nan"))]), "has the score nan"),
    "empty": (wire.frame(rated=[wire.field(8, 5.0)]), "preference_trajectories 0 has 0 points; it must be 1 to 1,000"),
    "ragged rated": (wire.frame(rated=[wire.field(1, np.ones(3)) + wire.field(8, 5.0)]), "has 0 values of pos_y"),
    "calibration": (wire.frame(calibrations=[CALIBRATION]), r"camera front has \(8, 16\) numbers; it must be \(9, 16"),
}


@pytest.mark.parametrize(("payload", "message"), CASES.values(), ids=CASES)
def test_what_is_refused(payload: bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as error:
        parse_frame(payload, WHERE)
    assert str(error.value).startswith(WHERE)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes changed, cut out, doubled or put in."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        place, length = int(rng.integers(len(changed) + 1)), int(rng.integers(1, 12))
        kind = int(rng.integers(4))
        if kind == 0 and place < len(changed):
            changed[place] = int(rng.integers(256))
        elif kind == 1:
            del changed[place : place + length]
        elif kind == 2:
            changed[place:place] = changed[place : place + length]
        else:
            changed[place:place] = rng.bytes(length)
    return bytes(changed)


def only_our_error(read: Callable[[bytes], Any], data: bytes, times: int) -> int:
    """How often it was refused, of bytes that are damaged in other ways each time."""
    rng, refused = np.random.default_rng(0), 0
    for _ in range(times):
        try:
            read(mutated(data, rng))
        except DatasetError:
            refused += 1
    return refused


def test_damaged_frames_give_our_error_or_a_frame() -> None:
    whole = wire.frame(
        images=[(1, b"abc"), (5, b"")],
        rated=[wire.states(wire.future(), wire.PLACE, 3.0)],
        calibrations=[wire.field(1, 1) + wire.doubles(2, range(9)) + wire.field(3, wire.doubles(1, range(16)))],
    )
    assert parse_frame(whole, WHERE).calibrations
    refused = only_our_error(lambda data: parse_frame(data, WHERE), whole, 4000)
    assert 1000 < refused < 4000


def test_damaged_pictures_give_our_error_or_a_picture() -> None:
    jpeg = encode_jpeg(np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8))
    refused = only_our_error(lambda data: decode_jpeg(data, WHERE), jpeg, 1500)
    assert 300 < refused < 1500


def coded(mode: str, size: tuple[int, int] = (8, 8), kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, format=kind)
    return stream.getvalue()


def test_pictures() -> None:
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[:, 20:] = (200, 100, 50)
    found = decode_jpeg(encode_jpeg(pixels), WHERE)
    assert found.shape == (24, 40, 3) and np.abs(found.astype(int) - pixels).mean() < 2
    small = decode_jpeg(encode_jpeg(pixels), WHERE, (10, 6))
    assert (
        small.shape == (6, 10, 3) and np.abs(small[:, :3]).max() < 4 and np.abs(small[3, 8] - [200, 100, 50]).max() < 4
    )


def test_pictures_that_are_refused() -> None:
    bomb = bytearray(coded("RGB"))
    start = bomb.index(b"\xff\xc0")
    bomb[start + 5 : start + 9] = b"\xff\xff\xff\xff"  # 65,535 x 65,535 pixels
    for data, message in (
        (bytes(bomb), "it has more than 16,777,216 pixels"),
        (coded("RGB", (4097, 4096)), "has 4097 x 4096 pixels; at most 16,777,216"),
        (coded("L"), "has the colours L; it must be RGB"),
        (coded("CMYK"), "has the colours CMYK"),
        (coded("RGB", kind="PNG"), "it begins with 89 50 4e 47 0d 0a 1a 0a, which is no JPEG"),
        (coded("RGB")[:-30], "cannot be decoded"),
        (b"", "it has 0 bytes, which is no JPEG"),
    ):
        with pytest.raises(DatasetError, match=message):
            decode_jpeg(data, WHERE)
