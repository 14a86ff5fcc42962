"""What LeRobot says of policies of random weights: `python tests/training/lerobot_reference.py` writes it.

    lerobot_folders/<case>/    the files that LeRobot saved, but for the weights: their names and shapes, and what the
                               policy did of observations that are drawn

Weights and observations are drawn again by whoever reads it (`lerobot_saved.py`). Needs lerobot 0.4.4, which asks for
PyTorch below 2.11: an environment of its own, where `pip install lerobot==0.4.4` is all. With lerobot 0.3.3 it writes
the cases of before 0.4.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from lerobot_saved import CASES, EPISODE, SAVED, Case, drawn_noise, drawn_observation, drawn_statistics, drawn_weights

__all__ = ["recorded"]


def recorded(case: Case, folder: Path) -> dict[str, Any]:
    """Let LeRobot save a policy into a folder, and play it: the actions of an episode."""
    import torch
    from safetensors.torch import save_file

    policy, before, behind = _made(case)
    for part in (policy,) if case.before else (policy, before, behind):
        part.save_pretrained(folder)
    shapes = {name: list(tensor.shape) for name, tensor in policy.state_dict().items()}
    save_file(drawn_weights(case, shapes), folder / "model.safetensors")
    policy.load_state_dict(drawn_weights(case, shapes))
    (folder / "weights.json").write_text(json.dumps(shapes, indent=0) + "\n")
    policy.eval()
    policy.reset()
    actions = []
    for step in range(EPISODE):
        seen = {key: torch.from_numpy(value) for key, value in drawn_observation(case, step).items()}
        images = {key: value.permute(2, 0, 1).float() / 255 for key, value in seen.items() if value.ndim == 3}
        noise = {"noise": torch.from_numpy(drawn_noise(case, step)[:1, 0])} if case.draws else {}
        with _draws(drawn_noise(case, step)[0, 1:] if case.draws else np.zeros(0)):
            action = policy.select_action(before({**seen, **images}), **noise)
        actions.append(behind(action).numpy()[0])
    return {"actions": np.stack(actions)}


def _made(case: Case) -> tuple[Any, Any, Any]:
    """A policy, and what is in front of it and behind it."""
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy

    if case.before:  # normalizes inside
        policy = ACTPolicy(_config(ACTConfig, case))
        return policy, lambda seen: {key: value[None] for key, value in seen.items()}, lambda action: action
    from lerobot.policies.act.processor_act import make_act_pre_post_processors
    from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
    from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
    from lerobot.policies.diffusion.processor_diffusion import make_diffusion_pre_post_processors

    kinds = {
        "act": (ACTConfig, ACTPolicy, make_act_pre_post_processors),
        "diffusion": (DiffusionConfig, DiffusionPolicy, make_diffusion_pre_post_processors),
    }
    config_of, policy_of, processors_of = kinds[case.kind]
    config = _config(config_of, case)
    return policy_of(config), *processors_of(config, drawn_statistics(case))


def _config(config_of: Any, case: Case) -> Any:
    from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature

    return config_of(
        input_features={key: PolicyFeature(FeatureType(kind), shape) for key, (kind, shape) in case.inputs.items()},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (case.actions,))},
        normalization_mapping={kind: NormalizationMode(mode) for kind, mode in case.modes.items()},
        device="cpu",
        push_to_hub=False,
        pretrained_backbone_weights=None,
        **case.options,
    )


@contextlib.contextmanager
def _draws(noises: Any) -> Iterator[None]:
    """Let DDPM draw these."""
    import torch
    from diffusers.schedulers import scheduling_ddpm

    left = list(noises)
    with mock.patch.object(scheduling_ddpm, "randn_tensor", lambda *_, **__: torch.from_numpy(left.pop(0))[None]):
        yield
    assert len(left) in (0, len(noises)), "all of them, or none where a chunk goes on"


def main() -> int:
    """Write every case."""
    import lerobot

    before = lerobot.__version__ < "0.4"
    for case in (case for case in CASES if case.before == before):
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made) / case.name
            folder.mkdir()
            found = recorded(case, folder)
            (folder / "model.safetensors").unlink()
            np.savez(folder / "said.npz", **found)
            shutil.rmtree(SAVED / case.name, ignore_errors=True)
            shutil.copytree(folder, SAVED / case.name, copy_function=shutil.copyfile)
        print(f"{case.name}: {np.ptp(found['actions'], axis=0)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
