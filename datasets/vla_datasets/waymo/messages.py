"""Waymo's messages, as far as they are needed, by the numbers of their fields (proto2).

They are built from the table below when they are first used: no generated module, so that any protobuf that onnx takes
will do, and in a pool of their own, so that Waymo's own modules may be loaded too. Enumerations are whole numbers and
strings bytes here, for what they may hold is looked at by `frame.py`; on the wire they are the same.
Source: waymo-open-dataset, `dataset.proto`, `protos/end_to_end_driving_data.proto` and
`protos/end_to_end_driving_submission.proto`.
"""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["MESSAGES", "message_class"]

Fields = tuple[tuple[str, int, str], ...]
_PACKAGE = "vla.waymo"

MESSAGES: dict[str, Fields] = {
    "Transform": (("transform", 1, "repeated double"),),  # 4 x 4, row by row
    "CameraCalibration": (
        ("name", 1, "int32"),
        ("intrinsic", 2, "repeated double"),
        ("extrinsic", 3, "Transform"),
        ("width", 4, "int32"),
        ("height", 5, "int32"),
    ),
    "Context": (("name", 1, "bytes"), ("camera_calibrations", 2, "repeated CameraCalibration")),
    "CameraImage": (("name", 1, "int32"), ("image", 2, "bytes"), ("pose", 3, "Transform")),
    "Frame": (
        ("context", 1, "Context"),
        ("timestamp_micros", 2, "int64"),
        ("pose", 3, "Transform"),
        ("images", 4, "repeated CameraImage"),
    ),
    "EgoTrajectoryStates": (
        ("pos_x", 1, "packed float"),
        ("pos_y", 2, "packed float"),
        ("pos_z", 3, "packed float"),
        ("vel_x", 4, "packed float"),
        ("vel_y", 5, "packed float"),
        ("accel_x", 6, "packed float"),
        ("accel_y", 7, "packed float"),
        ("preference_score", 8, "float"),
    ),
    "E2EDFrame": (
        ("frame", 1, "Frame"),
        ("future_states", 5, "EgoTrajectoryStates"),
        ("past_states", 6, "EgoTrajectoryStates"),
        ("intent", 7, "int32"),
        ("preference_trajectories", 8, "repeated EgoTrajectoryStates"),
    ),
    "TrajectoryPrediction": (("pos_x", 1, "packed float"), ("pos_y", 2, "packed float")),
    "FrameTrajectoryPredictions": (("frame_name", 1, "bytes"), ("trajectory", 2, "TrajectoryPrediction")),
    "E2EDChallengeSubmission": (
        ("predictions", 1, "repeated FrameTrajectoryPredictions"),
        ("submission_type", 2, "int32"),
        ("account_name", 3, "bytes"),
        ("unique_method_name", 4, "bytes"),
        ("authors", 5, "repeated bytes"),
        ("affiliation", 6, "bytes"),
        ("description", 7, "bytes"),
        ("method_link", 8, "bytes"),
        ("uses_public_model_pretraining", 11, "bool"),
        ("num_model_parameters", 12, "bytes"),
        ("public_model_names", 13, "repeated bytes"),
    ),
}


def message_class(name: str) -> Any:
    """The class of a message of the table."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@functools.cache
def _pool() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="vla_waymo.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            _add_field(message, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _add_field(message: Any, name: str, number: int, kind: str) -> None:
    types = descriptor_pb2.FieldDescriptorProto
    *how, what = kind.split()
    field = message.field.add(name=name, number=number)
    field.label = types.LABEL_REPEATED if how else types.LABEL_OPTIONAL
    if how == ["packed"]:
        field.options.packed = True
    if what in MESSAGES:
        field.type, field.type_name = types.TYPE_MESSAGE, f".{_PACKAGE}.{what}"
    else:
        field.type = getattr(types, f"TYPE_{what.upper()}")
