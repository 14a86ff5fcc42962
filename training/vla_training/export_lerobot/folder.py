"""`vla-train export-lerobot`: a saved policy -> the folder of a policy as LeRobot 0.4 saves one, or nothing.

    config.json                 type `vla_toolchain`, features, and our policy's name and options
    model.safetensors           our weights
    policy_preprocessor.json    steps that LeRobot's commands expect; they change no value
    policy_postprocessor.json   likewise
Source: huggingface/lerobot, `policies/pretrained.py`, `configs/policies.py` and `processor/pipeline.py`.
Not here: what plays such a folder (`plugin`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vla_datasets.keys import ACTION, STATE
from vla_datasets.lerobot.format import Feature
from vla_datasets.lerobot.reader import open_dataset
from vla_isa.errors import OutputError
from vla_models.errors import ObservationError, PolicyError
from vla_models.saved import CONFIG_FILE, WEIGHTS_FILE, load_config, load_policy, whole_folder
from vla_training.export_lerobot.names import MODEL, OBSERVED, POSTPROCESSOR, PREPROCESSOR, TYPE, VISUAL
from vla_training.export_lerobot.observed import observed_features

__all__ = ["export_policy"]

_ENVIRONMENT = "observation.environment_state"
_KINDS = {_ENVIRONMENT: "ENV", ACTION: "ACTION", STATE: "STATE"}
_DEVICE = {"registry_name": "device_processor", "config": {"device": "cpu", "float_dtype": None}}
_BEFORE = (
    {"registry_name": "rename_observations_processor", "config": {"rename_map": {}}},
    {"registry_name": "to_batch_processor", "config": {}},
    _DEVICE,
)


def export_policy(folder: Path, data: Path, out: Path) -> tuple[str, list[str]]:
    """Write a policy for LeRobot.

    Args:
        folder: of a saved policy.
        data: a data set such as it was trained on: it says the shapes of what is observed and done.
        out: folder to write; it must not exist.

    Returns:
        The policy's name, and the keys that it observes.

    Raises:
        PolicyError: there is no policy, or LeRobot would not hand it what it observes.
        DatasetError: the data set cannot be read.
        OutputError: `out` exists, or cannot be written.
    """
    if out.exists():
        raise OutputError(f"output folder '{out}' exists; choose another one")
    from safetensors.torch import save_file

    spec, config = load_config(folder)
    opened = open_dataset(data)
    try:
        seen = observed_features(spec.preprocessor(config), opened)
    except ObservationError as error:
        raise PolicyError(f"{folder} does not see what {data} has: {error}") from error
    hidden = [key for key in seen if not key.startswith(OBSERVED)]
    if hidden:
        raise PolicyError(f"{folder} sees '{hidden[0]}'; LeRobot hands a policy only keys that begin with '{OBSERVED}'")
    policy = load_policy(folder)
    table = _config(spec.name, asdict(config), seen, opened.feature(ACTION))
    weights = {MODEL + name: tensor.contiguous() for name, tensor in policy.state_dict().items()}
    with whole_folder(out) as written:
        _write(written / CONFIG_FILE, table)
        _write(written / f"{PREPROCESSOR}.json", {"name": PREPROCESSOR, "steps": _BEFORE})
        _write(written / f"{POSTPROCESSOR}.json", {"name": POSTPROCESSOR, "steps": (_DEVICE,)})
        save_file(weights, written / WEIGHTS_FILE)
    return spec.name, list(seen)


def _config(name: str, options: Mapping[str, Any], seen: Mapping[str, Feature], action: Feature) -> dict[str, Any]:
    return {
        "type": TYPE,
        "n_obs_steps": 1,  # a history is kept by the plugin
        "input_features": {key: _feature(key, feature) for key, feature in seen.items()},
        "output_features": {ACTION: _feature(ACTION, action)},
        "device": "cpu",
        "push_to_hub": False,
        "policy": name,
        "options": options,
    }


def _feature(key: str, feature: Feature) -> dict[str, Any]:
    """As LeRobot's config.json has it: pictures are channels first."""
    if feature.dtype == "image":
        height, width, channels = feature.shape
        return {"type": VISUAL, "shape": [channels, height, width]}
    return {"type": _KINDS.get(key, "STATE"), "shape": list(feature.shape)}


def _write(path: Path, table: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
