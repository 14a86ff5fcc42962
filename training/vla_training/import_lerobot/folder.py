"""The files of a policy that LeRobot saved: JSON of bounded size and safetensors. Nothing is unpickled or evaluated.

    config.json                             type, features, sizes
    model.safetensors                       weights; of versions before 0.4 the statistics too
    policy_preprocessor.json                from 0.4 on: steps in front of the network
    policy_postprocessor.json               ... and behind it; a step may name a file of statistics beside it
Source: huggingface/lerobot, `policies/pretrained.py` and `processor/pipeline.py`.
Not here: what the files mean (`statistics.py`, `act.py`, `diffusion.py`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from vla_isa.documents import read_json
from vla_models.errors import PolicyError

__all__ = ["Tensors", "field", "read_steps", "read_table", "read_tensors"]

Tensors = Mapping[str, torch.Tensor]

_MOST_JSON = 4_000_000  # bytes
_MOST_TENSORS, _MOST_WEIGHTS = 20_000, 2_000_000_000
_DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "U8", "BOOL")
_KINDS = {
    int: "a whole number",
    bool: "true or false",
    str: "a text",
    float: "a number",
    list: "a list",
    dict: "a table",
}


@dataclass(frozen=True)
class Step:
    """A step of a processor: its registered name, its options, and the tensors in its file."""

    name: str
    options: Mapping[str, Any]
    tensors: Tensors


def read_table(path: Path) -> dict[str, Any]:
    """The table of a JSON file.

    Raises:
        PolicyError: it is missing, too large, damaged, or no table.
    """
    try:
        size = path.stat().st_size
        if size > _MOST_JSON:
            raise PolicyError(f"{path} has {size:,} bytes; at most {_MOST_JSON:,} are read.")
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise PolicyError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if not isinstance(found, dict):
        raise PolicyError(f"{path} is no table; give the folder of a policy that LeRobot saved.")
    return found


def field(path: Path, table: Mapping[str, Any], name: str, kind: type) -> Any:
    """A value of a table, of a type; a whole number is a number too, and neither is true or false.

    Raises:
        PolicyError: it is missing, or of another type.
    """
    if name not in table:
        raise PolicyError(f"{path} has no '{name}'; this version of LeRobot's files is not read.")
    value = table[name]
    kinds = (int, float) if kind is float else kind
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool):
        raise PolicyError(f"{path}: '{name}' is {str(value)[:80]!r}; it must be {_KINDS[kind]}.")
    return value


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file.

    Raises:
        PolicyError: it is missing, damaged or too large, or a tensor is of a type that no weights have.
    """
    try:
        with safe_open(path, framework="pt") as file:  # the library holds offsets and sizes against the file's
            names = list(file.keys())
            if len(names) > _MOST_TENSORS:
                raise PolicyError(f"{path} has {len(names):,} tensors; at most {_MOST_TENSORS:,} are read.")
            parts = {name: file.get_slice(name) for name in names}
            weights = sum(math.prod(part.get_shape()) for part in parts.values())
            if weights > _MOST_WEIGHTS:
                raise PolicyError(f"{path} has {weights:,} weights; at most {_MOST_WEIGHTS:,} are read.")
            for name, part in parts.items():
                if part.get_dtype() not in _DTYPES:
                    raise PolicyError(f"{path}: '{name}' is {part.get_dtype()}; weights are {', '.join(_DTYPES)}.")
            return {name: file.get_tensor(name) for name in names}
    except (OSError, ValueError, SafetensorError) as error:
        raise PolicyError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def read_steps(path: Path) -> list[Step]:
    """The steps of a processor.

    Raises:
        PolicyError: the file, or one that it names, is missing or damaged; a step is no registered one of LeRobot's.
    """
    steps = []
    for entry in field(path, read_table(path), "steps", list):
        if not isinstance(entry, dict) or not isinstance(entry.get("registry_name"), str):
            raise PolicyError(f"{path}: the step {str(entry)[:80]!r} is none of LeRobot's own; no other code is run.")
        options, state = entry.get("config", {}), entry.get("state_file")
        if not isinstance(options, dict):
            raise PolicyError(f"{path}: the options of step '{entry['registry_name']}' are no table.")
        if state is not None and (not isinstance(state, str) or os.path.basename(state) != state or not state):
            raise PolicyError(f"{path}: state_file is {str(state)[:80]!r}; it must be the name of a file beside it.")
        steps.append(Step(entry["registry_name"], options, {} if state is None else read_tensors(path.parent / state)))
    return steps
