"""LeRobot's `act`: the options and weights of `lerobot_act`. Source: huggingface/lerobot, `policies/act/`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vla_models.errors import PolicyError
from vla_training.import_lerobot.folder import Tensors, field
from vla_training.import_lerobot.observed import read_action, read_observed
from vla_training.import_lerobot.statistics import Processing
from vla_training.import_lerobot.weights import fold_batch_norms, renamed_weights

__all__ = ["act_options", "act_weights"]

_SIZES = {  # our options, and LeRobot's names and types of them
    "horizon": ("chunk_size", int),
    "execute": ("n_action_steps", int),
    "backbone": ("vision_backbone", str),
    "width": ("dim_model", int),
    "hidden": ("dim_feedforward", int),
    "heads": ("n_heads", int),
    "encoder_layers": ("n_encoder_layers", int),
    "decoder_layers": ("n_decoder_layers", int),
    "activation": ("feedforward_activation", str),
    "norm_first": ("pre_norm", bool),
}
_NAMES = (
    (r"model\.backbone\.", "trunk."),
    (r"model\.encoder_img_feat_input_proj\.", "pixels."),
    (r"model\.encoder_robot_state_input_proj\.", "vectors.state."),
    (r"model\.encoder_env_state_input_proj\.", "vectors.environment_state."),
    (r"model\.encoder_latent_input_proj\.bias", "latent"),  # what the zero latent becomes
    (r"model\.encoder_1d_feature_pos_embed\.weight", "places"),
    (r"model\.decoder_pos_embed\.weight", "queries"),
    (r"model\.(encoder|decoder)\.layers\.(\d+)\.(self_attn|multihead_attn)\.", r"\1.\2.\3.attention."),
    (r"model\.(encoder|decoder)\.layers\.", r"\1."),
    (r"model\.(encoder|decoder)\.norm\.", r"\1_norm."),
    (r"model\.action_head\.", "out."),
)
_DROPPED = (  # training alone has the autoencoder's encoder
    r"model\.vae_encoder",
    r"model\.encoder_latent_input_proj\.weight",
    r"normalize_inputs\.|unnormalize_outputs\.|normalize_targets\.",
)


def act_options(where: Path, config: Mapping[str, Any], processing: Processing) -> dict[str, Any]:
    """The options of `lerobot_act`.

    Raises:
        PolicyError: something is missing, of another type, or not supported.
    """
    options = {ours: field(where, config, *theirs) for ours, theirs in _SIZES.items()}
    if field(where, config, "n_obs_steps", int) != 1:
        raise PolicyError(f"{where}: 'n_obs_steps' is {config['n_obs_steps']}; ACT sees one step.")
    if config.get("replace_final_stride_with_dilation"):
        raise PolicyError(f"{where}: 'replace_final_stride_with_dilation' is on; no ResNet-18 or -34 has that.")
    ensemble = config.get("temporal_ensemble_coeff")
    if ensemble is not None:
        options["ensemble"] = float(field(where, config, "temporal_ensemble_coeff", float))
    inputs, action = read_observed(where, config, processing), read_action(where, config, processing)
    return {"inputs": inputs, "action": action, **options}


def act_weights(weights: Tensors, config: Any) -> dict[str, torch.Tensor]:
    """The weights of `lerobot_act`.

    Raises:
        PolicyError: a part is unknown or damaged.
    """
    found = fold_batch_norms(renamed_weights(weights, _NAMES, _DROPPED), "trunk.")
    if "latent" in found:
        found["latent"] = found["latent"][None]
    return found
