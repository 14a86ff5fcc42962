"""LeRobot's `diffusion`: the options and weights of `lerobot_diffusion`.

Source: huggingface/lerobot, `policies/diffusion/`, and the schedulers of huggingface/diffusers that it names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from vla_models.errors import PolicyError
from vla_models.lerobot.features import MOST_VALUES
from vla_training.import_lerobot.folder import Tensors, field
from vla_training.import_lerobot.observed import read_action, read_observed
from vla_training.import_lerobot.statistics import Processing
from vla_training.import_lerobot.weights import fold_batch_norms, renamed_weights

__all__ = ["diffusion_options", "diffusion_weights"]

_SIZES = {  # our options, and LeRobot's names and types of them
    "history": ("n_obs_steps", int),
    "horizon": ("horizon", int),
    "execute": ("n_action_steps", int),
    "backbone": ("vision_backbone", str),
    "group_norm": ("use_group_norm", bool),
    "image_points": ("spatial_softmax_num_keypoints", int),
    "channels": ("down_dims", list),
    "kernel": ("kernel_size", int),
    "groups": ("n_groups", int),
    "time_width": ("diffusion_step_embed_dim", int),
    "film_scale": ("use_film_scale_modulation", bool),
    "sampler": ("noise_scheduler_type", str),
    "training_steps": ("num_train_timesteps", int),
    "schedule": ("beta_schedule", str),
    "noise_first": ("beta_start", float),
    "noise_last": ("beta_end", float),
}
_SAYS = {"epsilon": "noise", "sample": "action"}
_BLOCK = r"diffusion\.unet\.(?:_orig_mod\.)?((?:down|up)_modules\.\d+\.[01]|mid_modules\.\d+)\."
_UNET = r"diffusion\.unet\.(?:_orig_mod\.)?"
_NAMES = (
    (_BLOCK + r"conv1\.block\.0\.", r"unet.\1.first.conv."),
    (_BLOCK + r"conv1\.block\.1\.", r"unet.\1.first.norm."),
    (_BLOCK + r"conv2\.block\.0\.", r"unet.\1.second.conv."),
    (_BLOCK + r"conv2\.block\.1\.", r"unet.\1.second.norm."),
    (_BLOCK + r"residual_conv\.", r"unet.\1.short."),
    (_BLOCK + r"cond_encoder\.1\.", r"unet.\1.film."),
    (_UNET + r"down_modules\.(\d+)\.2\.", r"unet.shorten.\1."),
    (_UNET + r"up_modules\.(\d+)\.2\.", r"unet.lengthen.\1."),
    (_UNET + r"final_conv\.0\.block\.0\.", "unet.last.conv."),
    (_UNET + r"final_conv\.0\.block\.1\.", "unet.last.norm."),
    (_UNET + r"final_conv\.1\.", "unet.out."),
    (_UNET + r"diffusion_step_encoder\.1\.", "time_up."),
    (_UNET + r"diffusion_step_encoder\.3\.", "time_down."),
    (r"diffusion\.rgb_encoder\.(?=\d)", "eyes."),
    (r"diffusion\.rgb_encoder\.", "eyes.0."),
)
_INNER = (  # behind the beginnings
    (r"unet\.down_modules\.", "unet.down."),
    (r"unet\.mid_modules\.", "unet.middle."),
    (r"unet\.up_modules\.", "unet.up."),
    (r"(eyes\.\d+)\.backbone\.0\.", r"\1.trunk.conv1."),
    (r"(eyes\.\d+)\.backbone\.1\.", r"\1.trunk.bn1."),
    *((rf"(eyes\.\d+)\.backbone\.{stage + 3}\.", rf"\1.trunk.layer{stage}.") for stage in range(1, 5)),
    (r"(eyes\.\d+)\.pool\.nets\.weight", r"\1.queries"),
    (r"(eyes\.\d+)\.pool\.pos_grid", r"\1.grid"),
    ("", ""),
)
_DROPPED = (
    r"diffusion\.rgb_encoder\.(\d+\.)?pool\.nets\.bias",  # the same for every pixel: it changes no softmax over them
    r"normalize_inputs\.|unnormalize_outputs\.|normalize_targets\.",
)


def diffusion_options(where: Path, config: Mapping[str, Any], processing: Processing) -> dict[str, Any]:
    """The options of `lerobot_diffusion`.

    Raises:
        PolicyError: something is missing, of another type, or not supported.
    """
    options = {ours: field(where, config, *theirs) for ours, theirs in _SIZES.items()}
    says = field(where, config, "prediction_type", str)
    if says not in _SAYS:
        raise PolicyError(f"{where}: 'prediction_type' is '{says[:40]}'; {' and '.join(_SAYS)} are supported.")
    if options["sampler"] not in ("DDIM", "DDPM"):
        raise PolicyError(
            f"{where}: 'noise_scheduler_type' is '{options['sampler'][:40]}'; DDIM and DDPM are supported."
        )
    steps = config.get("num_inference_steps")
    options["sampler_steps"] = options["training_steps"] if steps is None else steps
    options["shared_backbone"] = not field(where, config, "use_separate_rgb_encoder_per_camera", bool)
    clips = field(where, config, "clip_sample", bool)
    options |= {
        "says": _SAYS[says],
        "reach": float(field(where, config, "clip_sample_range", float)) if clips else None,
    }
    inputs = read_observed(where, config, processing, **_image_sizes(where, config))
    return {"inputs": inputs, "action": read_action(where, config, processing), **options}


def _image_sizes(where: Path, config: Mapping[str, Any]) -> dict[str, Sequence[int]]:
    """What images are resized to, and what is left of them; a share of a resized one, or a size."""
    resized, cropped = (_size(where, config, name) for name in ("resize_shape", "crop_shape"))
    if resized:
        share = float(field(where, {"crop_ratio": 1.0, **config}, "crop_ratio", float))
        cropped = tuple(int(n * share) for n in resized) if share < 1 else ()
    return {"resized": resized, "cropped": cropped}


def _size(where: Path, config: Mapping[str, Any], name: str) -> tuple[int, ...]:
    found = config.get(name)
    if found is None:
        return ()
    if (
        not isinstance(found, list)
        or len(found) != 2
        or not all(type(n) is int and 1 <= n <= MOST_VALUES for n in found)
    ):
        raise PolicyError(f"{where}: '{name}' is {str(found)[:80]!r}; it must be two numbers from 1 to {MOST_VALUES}.")
    return tuple(found)


def diffusion_weights(weights: Tensors, config: Any) -> dict[str, torch.Tensor]:
    """The weights of `lerobot_diffusion`.

    Raises:
        PolicyError: a part is unknown or damaged.
    """
    found = renamed_weights(renamed_weights(weights, _NAMES, _DROPPED), _INNER, ())
    for name in list(found):
        if name.endswith(".queries"):
            found[name] = found[name].flatten(1)
        elif name.endswith(".film.weight"):  # time and what is seen side by side
            block = name.removesuffix("film.weight")
            film = found.pop(name)
            found[f"{block}time.weight"] = film[:, : config.time_width].contiguous()
            found[f"{block}seen.weight"] = film[:, config.time_width :].contiguous()
        elif name.endswith(".film.bias"):
            found[name.replace(".film.", ".seen.")] = found.pop(name)
    for number in range(len(config.inputs)):
        found = fold_batch_norms(found, f"eyes.{number}.trunk.")
    return found
