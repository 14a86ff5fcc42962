"""Records by Waymo's own generated classes: a program for a Python that finds them, which nothing of ours needs.

    mkdir classes && cd classes
    pip download --no-deps waymo-open-dataset-tf-2-12-0==1.6.7 && unzip -q waymo_*.whl
    pip install --target . protobuf==3.20.3 crc32c tfrecord==1.14.6
    export WAYMO_CLASSES=$PWD          # where the tests look for them
    export PYTHONPATH=$PWD PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python
    python tests/datasets/waymo/waymo_classes.py make FILE       # theirs.tfrecord, which is committed
    python tests/datasets/waymo/waymo_classes.py show FILE       # what a file holds, as JSON
    python tests/datasets/waymo/waymo_classes.py submission FILE

Checksums of what is made are those of the package tfrecord.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STATES = ("pos_x", "pos_y", "pos_z", "vel_x", "vel_y", "accel_x", "accel_y")
COLORS = {camera: (25 * camera, 250 - 25 * camera, 100) for camera in range(1, 9)}
ORDER = (3, 8, 1, 5, 2, 7, 6, 4)  # of the cameras in the first record


def first(data: Any, jpeg: Any) -> Any:
    """All cameras, in an order of its own, three rated trajectories, and fields that nobody here reads."""
    record = data.E2EDFrame(intent=data.EgoIntent.GO_LEFT)
    frame = record.frame
    frame.context.name, frame.timestamp_micros = "0123456789abcdef-042", 1_700_000_000_000_000
    frame.context.stats.location, frame.context.stats.time_of_day = "location_sf", "Day"
    frame.pose.transform.extend(range(16))
    for camera in ORDER:
        image = frame.images.add(name=camera, image=jpeg(COLORS[camera]), pose_timestamp=1.5, shutter=0.01)
        image.velocity.v_x, image.velocity.w_z = 5.0, 0.25
        calibration = frame.context.camera_calibrations.add(name=camera, width=16, height=8)
        calibration.intrinsic.extend([100 + camera, 200 + camera, 8, 4, 0.1, -0.2, 0.3, -0.4, 0.5])
        calibration.extrinsic.transform.extend(camera + n / 16 for n in range(16))
        calibration.rolling_shutter_direction = 1
    for n in range(16):
        record.past_states.pos_x.append(2.0 * (n - 15) / 4)
        record.past_states.pos_y.append(-0.5 * (n - 15))
        record.past_states.vel_x.append(2.0)
        record.past_states.vel_y.append(0.25 * n)
        record.past_states.accel_x.append(-0.125 * n)
        record.past_states.accel_y.append(1.0)
    for n in range(20):
        record.future_states.pos_x.append(0.5 * (n + 1))
        record.future_states.pos_y.append(0.25 * (n + 1))
        record.future_states.pos_z.append(7.0)
    for score, count in ((9.0, 21), (0.0, 20), (4.5, 7)):
        rated = record.preference_trajectories.add(preference_score=score)
        rated.pos_x.extend(float(n + 1) for n in range(count))
        rated.pos_y.extend(-0.125 * n for n in range(count))
    return record


def others(data: Any, jpeg: Any) -> Iterator[Any]:
    """A frame with placeholders for raters and no intent; and one of a test set, whose future is hidden."""
    for name in ("fedcba9876543210-007", "0123456789abcdef-003"):
        record = first(data, jpeg)
        record.frame.context.name = name
        record.ClearField("intent")
        record.frame.ClearField("timestamp_micros")
        del record.frame.images[1:], record.frame.context.camera_calibrations[:]
        for rated in record.preference_trajectories:
            rated.preference_score = -1
        if name.startswith("0"):
            record.ClearField("future_states")
            del record.preference_trajectories[:]
        yield record


def make(path: Path) -> None:
    from tfrecord.writer import TFRecordWriter
    from waymo_open_dataset.protos import end_to_end_driving_data_pb2 as data
    from waymo_wire import jpeg

    with path.open("wb") as file:
        for record in (first(data, jpeg), *others(data, jpeg)):
            payload = record.SerializeToString()
            length = struct.pack("<Q", len(payload))
            crc = TFRecordWriter.masked_crc
            file.write(length + crc(length) + payload + crc(payload))


def trajectory(states: Any) -> dict[str, list[float]]:
    return {name: list(getattr(states, name)) for name in STATES}


def show(path: Path) -> list[dict[str, Any]]:
    from waymo_open_dataset.dataset_pb2 import CameraName
    from waymo_open_dataset.protos import end_to_end_driving_data_pb2 as data

    stored, found = path.read_bytes(), []
    while stored:
        length = struct.unpack_from("<Q", stored)[0]
        record = data.E2EDFrame.FromString(stored[12 : 12 + length])
        stored = stored[16 + length :]
        cameras = record.frame.context.camera_calibrations
        found.append(
            {
                "name": record.frame.context.name,
                "intent": data.EgoIntent.Intent.Name(record.intent),
                "images": {CameraName.Name.Name(i.name): i.image.hex() for i in record.frame.images},
                "pose": list(record.frame.pose.transform),
                "poses": [list(i.pose.transform) for i in record.frame.images],
                "past": trajectory(record.past_states),
                "future": trajectory(record.future_states),
                "rated": [{**trajectory(p), "score": p.preference_score} for p in record.preference_trajectories],
                "calibrations": {
                    CameraName.Name.Name(c.name): [*c.intrinsic, *c.extrinsic.transform, c.width, c.height]
                    for c in cameras
                },
                "strange": record.ByteSize() - length,  # 0: they would write as many bytes
            }
        )
    return found


def submission(path: Path) -> dict[str, Any]:
    from waymo_open_dataset.protos import end_to_end_driving_submission_pb2 as submissions

    found = submissions.E2EDChallengeSubmission.FromString(path.read_bytes())
    return {
        "predictions": {p.frame_name: [list(p.trajectory.pos_x), list(p.trajectory.pos_y)] for p in found.predictions},
        "type": submissions.E2EDChallengeSubmission.SubmissionType.Name(found.submission_type),
        "account": found.account_name,
        "method": found.unique_method_name,
        "authors": list(found.authors),
        "affiliation": found.affiliation,
        "description": found.description,
        "link": found.method_link,
        "pretraining": found.uses_public_model_pretraining,
        "parameters": found.num_model_parameters,
        "models": list(found.public_model_names),
    }


if __name__ == "__main__":
    command, name = sys.argv[1], Path(sys.argv[2])
    if command == "make":
        make(name)
    else:
        print(json.dumps(show(name) if command == "show" else submission(name)))
