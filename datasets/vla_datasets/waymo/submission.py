"""A submission to Waymo's end-to-end driving challenge: predictions of frames, and what must be said of the method.

Source: waymo-open-dataset, `protos/end_to_end_driving_submission.proto`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.waymo.messages import message_class
from vla_datasets.waymo.names import FUTURE
from vla_isa.documents import read_toml
from vla_isa.files import write_whole

__all__ = ["About", "read_about", "write_submission"]

_E2ED_SUBMISSION = 1  # the only type
_COUNT = re.compile(r"[1-9]\d*[KMBT]", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True)
class About:
    """What a submission says of its method; the names are those of the message.

    Attributes:
        account_name: the email address of the account at waymo.com/open.
        unique_method_name: of the method, short.
        authors: one or more.
        uses_public_model_pretraining: whether an open LLM or VLM was used.
        num_model_parameters: a whole number and K, M, B or T: "200K".
        affiliation, description, method_link: where there are any.
        public_model_names: the open models, where some were used.

    Raises:
        DatasetError: one is missing, or not what it must be.
    """

    account_name: str
    unique_method_name: str
    authors: Sequence[str]
    uses_public_model_pretraining: bool
    num_model_parameters: str
    affiliation: str = ""
    description: str = ""
    method_link: str = ""
    public_model_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        for one in fields(self):
            _check_kind(one.name, one.type, getattr(self, one.name))
        if not _EMAIL.fullmatch(self.account_name):
            raise _refused("account_name", self.account_name, "the email address of the account at waymo.com/open")
        if not self.unique_method_name.strip():
            raise _refused("unique_method_name", self.unique_method_name, "the name of the method")
        if not self.authors or not all(author.strip() for author in self.authors):
            raise _refused("authors", self.authors, "one name or more")
        if not _COUNT.fullmatch(self.num_model_parameters):
            raise _refused("num_model_parameters", self.num_model_parameters, "such as '200K': K, M, B or T")
        if self.uses_public_model_pretraining != bool(self.public_model_names):
            wanted = "the models' names" if self.uses_public_model_pretraining else "empty, for none is said to be used"
            raise _refused("public_model_names", list(self.public_model_names), wanted)


def _refused(name: str, value: object, wanted: str) -> DatasetError:
    return DatasetError(f"a submission's '{name}' is {value!r}; it must be {wanted}.")


def _check_kind(name: str, kind: Any, value: object) -> None:
    if kind == "Sequence[str]":
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            raise _refused(name, value, "a list of texts")
    elif type(value).__name__ != kind:
        raise _refused(name, value, "true or false" if kind == "bool" else "a text")


def read_about(path: Path) -> About:
    """What a TOML file says of a method; its keys are the attributes of `About`.

    Raises:
        DatasetError: it cannot be read, a key is unknown or missing, or a value is not what it must be.
    """
    try:
        table = read_toml(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    known = {one.name: one.default is MISSING for one in fields(About)}
    for name in table:
        if name not in known:
            raise DatasetError(f"{path}: there is no '{name}' in a submission; there are {', '.join(known)}.")
    if missing := [name for name, needed in known.items() if needed and name not in table]:
        raise DatasetError(f"{path}: a submission needs {', '.join(missing)} too.")
    return About(**table)


def write_submission(path: Path, about: About, predictions: Mapping[str, npt.ArrayLike]) -> None:
    """Write a file of the message E2EDChallengeSubmission, whole or not at all.

    Args:
        predictions: by the name of the frame, `<segment>-<number>`, (20, 2) in metres of the car's axes: x forward,
            y left, the first after 0.25 s.

    Raises:
        DatasetError: there is none, or one is of another shape, or no finite number.
        OutputError: the file cannot be written.
    """
    if not predictions:
        raise DatasetError("a submission without predictions is none.")
    texts = ("account_name", "unique_method_name", "affiliation", "description", "method_link", "num_model_parameters")
    message = message_class("E2EDChallengeSubmission")(
        submission_type=_E2ED_SUBMISSION,
        authors=[author.encode() for author in about.authors],
        uses_public_model_pretraining=about.uses_public_model_pretraining,
        public_model_names=[name.encode() for name in about.public_model_names],
        **{name: text.encode() for name in texts if (text := getattr(about, name))},
    )
    for name, points in predictions.items():
        found = np.asarray(points, np.float32)
        if not name or found.shape != (FUTURE, 2) or not np.isfinite(found).all():
            raise DatasetError(
                f"the prediction of frame '{name}' is {found.shape}; it must be {(FUTURE, 2)} finite numbers."
            )
        entry = message.predictions.add(frame_name=name.encode())
        entry.trajectory.pos_x.extend(found[:, 0].tolist())
        entry.trajectory.pos_y.extend(found[:, 1].tolist())
    write_whole(path, message.SerializeToString(deterministic=True))
