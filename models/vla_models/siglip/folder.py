"""A folder of a tower's weights: what `transformers` saves of SigLIP or of a model around one, or a `siglip_tower`.

    config.json                 sizes, in `vision_config` where the tower is part of a model such as SmolVLM
    processor_config.json       the tower's own normalization, in `image_processor`; or preprocessor_config.json;
                                without them SigLIP's, 0.5 and 0.5
    *.safetensors               its weights; those of what is around it are not read

It comes from outside: sizes are checked, weights are read from safetensors alone and must fit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from vla_isa.documents import read_json
from vla_models.errors import PolicyError
from vla_models.option_types import check_types
from vla_models.outside_weights import finite_floats
from vla_models.saved_files import saved_folder
from vla_models.siglip.sizes import SIGLIP_COLOUR, TowerSizes
from vla_models.siglip.vision import SiglipVision

__all__ = ["Tower", "read_tower"]

_OWN = "siglip_tower"  # the policy that is such a tower
_NAMES = {  # of an option, in a config of transformers
    "tower_width": "hidden_size",
    "tower_layers": "num_hidden_layers",
    "tower_heads": "num_attention_heads",
    "tower_hidden": "intermediate_size",
    "image_size": "image_size",
    "patch": "patch_size",
}
_FIXED = {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6, "num_channels": 3}  # what it computes
_PICTURES = {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
_PLACES = "embeddings.position_embedding.weight"
_FIRST = "embeddings.patch_embedding.weight"


@dataclass(frozen=True)
class Tower:
    """A tower of a folder.

    Attributes:
        options: of `TowerSizes`: sizes and normalization, without the camera.
        weights: of `SiglipVision`, float32.
        id: a digest of both: another tower makes other features.
    """

    options: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]
    id: str


def read_tower(folder: Path) -> Tower:
    """The tower of a folder: that of `transformers`, a saved `siglip_tower`, or the run that trained one.

    Raises:
        PolicyError: a file is missing or damaged, it is no such tower, or its weights do not fit its sizes.
    """
    folder = saved_folder(folder)
    try:
        options = _options(folder)
        check_types(str(folder), TowerSizes, options)
        sizes = TowerSizes(**options)
        weights = _weights(folder)
        _check_places(weights[_PLACES], sizes)
        with torch.device("meta"):
            SiglipVision(sizes).load_state_dict(weights, assign=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise PolicyError(f"{folder} holds no SigLIP tower: {error}"[:500]) from error
    options = {field.name: getattr(sizes, field.name) for field in fields(sizes) if field.name in options}
    return Tower(options, weights, _digest(options, weights))


def _options(folder: Path) -> dict[str, Any]:
    said = read_json(folder / "config.json")
    known = {field.name for field in fields(TowerSizes)} - {"camera"}
    if said.get("type") == _OWN:
        return {name: value for name, value in said.items() if name in known}
    vision = said.get("vision_config", said)
    _check_fixed("config.json", vision, _FIXED)
    missing = [name for name in _NAMES.values() if name not in vision]
    if missing:
        raise ValueError(f"config.json has no {', '.join(missing)}")
    said = _processor(folder)
    _check_fixed("the processor's file", said, _PICTURES)
    pixel = {f"pixel_{name}": said.get(f"image_{name}", list(SIGLIP_COLOUR)) for name in ("mean", "std")}
    return {name: vision[theirs] for name, theirs in _NAMES.items()} | pixel


def _processor(folder: Path) -> dict[str, Any]:
    """What is done with pictures; the file of the whole processor counts where there are two."""
    for file, inside in (("processor_config.json", "image_processor"), ("preprocessor_config.json", "")):
        said = read_json(folder / file) if (folder / file).exists() else {}
        if found := said.get(inside) if inside else said:
            return dict(found)
    return {}


def _check_fixed(where: str, said: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    for name, wanted in fixed.items():
        if said.get(name, wanted) != wanted:
            raise ValueError(f"{where}: '{name}' is {said[name]!r}; only {wanted!r} is computed")


def _check_places(places: torch.Tensor, sizes: TowerSizes) -> None:
    """Before anything of these sizes is made: they may be any."""
    if places.shape != (wanted := (sizes.tokens, sizes.tower_width)):
        raise ValueError(f"its places are {tuple(places.shape)}; by its sizes they would be {wanted}")


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    """Those of the tower, by the names that they have in it."""
    found: dict[str, torch.Tensor] = {}
    files = sorted(folder.glob("*.safetensors"))
    with_names = {}
    for path in files:
        with safe_open(path, "pt") as file:
            with_names[path] = list(file.keys())
    starts = {name.removesuffix(_FIRST) for names in with_names.values() for name in names if name.endswith(_FIRST)}
    if len(starts) != 1:
        raise ValueError(f"its *.safetensors hold {len(starts)} towers")
    (start,) = starts
    wanted = tuple(f"{start}{part}" for part in ("embeddings.", "encoder.", "post_layernorm."))
    for path, names in with_names.items():
        with safe_open(path, "pt") as file:
            for name in names:
                if name.startswith(wanted) and not name.endswith("position_ids"):
                    found[name.removeprefix(start)] = finite_floats(name, file.get_tensor(name))
    return found


def _digest(options: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> str:
    found = hashlib.sha256(repr(sorted(options.items())).encode())
    for name, value in sorted(weights.items()):
        found.update(f"{name} {tuple(value.shape)}\n".encode())
        found.update(value.contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
