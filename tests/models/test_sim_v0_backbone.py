"""The language model of SIM v0 that comes from outside: what would be read as something else is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rover_samples import fitted, made, run, windows, write_language_model
from vla_models.errors import PolicyError
from vla_models.registry import find_policy

pytest.importorskip("transformers")
Q = "model.layers.0.self_attn.q_proj.weight"


def _int8(weights: dict[str, Any]) -> None:
    import torch

    weights[Q] = weights[Q].to(torch.int8)


def _nan(weights: dict[str, Any]) -> None:
    weights[Q][0, 3] = float("nan")


def _wider(weights: dict[str, Any]) -> None:
    weights[Q] = weights[Q][:, :8].contiguous()


def _bias(weights: dict[str, Any]) -> None:
    weights[Q.replace("weight", "bias")] = weights[Q][:, 0].contiguous()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_int8, rf"{Q} is torch.int8; it must be of floats"),
        (_nan, rf"{Q} has 1 of 256 values that are not finite"),
        (_wider, r"layers.0.self_attn.q_proj.weight is \[16, 8\] in its .* by the sizes in config.json \[16, 16\]"),
        (_bias, r"have .*layers.0.self_attn.q_proj.bias, which a model of the sizes in config.json does not have"),
    ],
)
def test_weights_that_are_others_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    from safetensors.torch import load_file, save_file

    path = write_language_model(tmp_path) / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(PolicyError, match=message):
        find_policy("sim_v0").make(fitted(backbone=str(tmp_path)))


def test_an_adapter_beside_the_model_is_refused(tmp_path: Path) -> None:
    """transformers puts it in where peft is there, and its weights would stay in other axes than the turned rows."""
    peft = pytest.importorskip("peft")
    from transformers import LlamaForCausalLM

    write_language_model(tmp_path)
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    peft.get_peft_model(LlamaForCausalLM.from_pretrained(tmp_path), config).save_pretrained(tmp_path)
    with pytest.raises(PolicyError, match=r"has an adapter .* beside the model; merge it"):
        find_policy("sim_v0").make(fitted(backbone=str(tmp_path)))


def test_layers_and_masks_that_are_not_used_may_be_there(tmp_path: Path) -> None:
    """A folder has more layers than are read, the head, and files of GPT-2 masks too."""
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    sizes = {"vocab_size": 8, "n_positions": 8, "n_embd": 16, "n_layer": 2, "n_head": 2}
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    masks = {"transformer.h.0.attn.bias": torch.ones(1, 1, 8, 8, dtype=torch.uint8)}
    save_file(load_file(path) | masks, path, {"format": "pt"})
    policy = find_policy("sim_v0").make(fitted(backbone=str(tmp_path), layers=1))
    assert len(policy.backbone.model.h) == 1


def test_gradients_of_a_deep_model_are_finite_where_pictures_are_not_there() -> None:
    """A run's first frames have rows of zeros, whose gradient grows 300-fold in every norm."""
    from vla_training.objectives.risk import Risk

    policy = made(layers=30).train()
    batch = policy.prepare(windows(run(12)))
    there = list(batch.inputs.values())[-1]
    assert not there.all() and there.any()
    loss, _ = Risk().loss(policy, batch, None)  # type: ignore[arg-type]
    loss.backward()
    for name, weight in policy.named_parameters():
        assert weight.grad is None or bool(weight.grad.isfinite().all()), name


def test_one_picture_has_no_history() -> None:
    with pytest.raises(PolicyError, match="'frames' is 1; it must be from 2"):
        fitted(frames=1, video_tokens=1)
