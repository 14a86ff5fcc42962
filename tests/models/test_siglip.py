"""SigLIP's tower equals that of transformers, from each form of folder; a folder that is none is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_models.errors import PolicyError
from waypoint_frames import PATCH, SIDE, TOWER, frames, made, write_tower


def saved_by_transformers(folder: Path) -> Any:
    """A random tower of theirs, in a folder."""
    transformers = pytest.importorskip("transformers")
    import torch

    config = transformers.SiglipVisionConfig(
        hidden_size=TOWER["tower_width"],
        num_hidden_layers=TOWER["tower_layers"],
        num_attention_heads=TOWER["tower_heads"],
        intermediate_size=TOWER["tower_hidden"],
        image_size=SIDE + 3,  # the right and the lower edge are not seen, as with 384 px and patches of 14
        patch_size=PATCH,
    )
    model = transformers.SiglipVisionModel(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.2 * torch.randn_like(weight)
    model.save_pretrained(folder)
    return model


def test_outputs_are_those_of_transformers(tmp_path: Path) -> None:
    theirs = saved_by_transformers(tmp_path)
    import torch

    from vla_models.siglip.folder import read_tower
    from vla_models.siglip.sizes import TowerSizes
    from vla_models.siglip.vision import SiglipVision

    tower = read_tower(tmp_path)
    ours = SiglipVision(TowerSizes(**tower.options)).eval()
    ours.load_state_dict(tower.weights)
    pictures = torch.randn(3, 3, SIDE + 3, SIDE + 3)
    with torch.no_grad():
        wanted = theirs(pictures).last_hidden_state
        assert wanted.std() > 0.5
        torch.testing.assert_close(ours(pictures), wanted, atol=2e-6, rtol=1e-5)


def test_a_model_around_a_tower(tmp_path: Path) -> None:
    """As SmolVLM's: sizes inside the config, weights behind a prefix, in several files, of 16 bits, among others."""
    import torch
    from safetensors.torch import load_file, save_file

    from vla_models.siglip.folder import read_tower

    write_tower(tmp_path, prefix="model.vision_model.")
    whole = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    names = sorted(whole)
    halves = ({n: whole[n].bfloat16() for n in names[::2]}, {n: whole[n].bfloat16() for n in names[1::2]})
    save_file(halves[0] | {"model.text_model.embeddings.weight": torch.ones(2)}, tmp_path / "model-1.safetensors")
    save_file(halves[1] | {"model.vision_model.head.probe": torch.ones(2)}, tmp_path / "model-2.safetensors")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "idefics3", "vision_config": config}))
    tower = read_tower(tmp_path)
    assert tower.options == {**TOWER, "pixel_mean": (0.5,) * 3, "pixel_std": (0.5,) * 3}
    found = {f"model.vision_model.{n}": w for n, w in tower.weights.items()}
    assert set(found) == set(whole)
    assert all(torch.equal(found[n], whole[n].bfloat16().float()) for n in whole)


def test_an_id_is_of_weights_and_normalization(tmp_path: Path) -> None:
    from vla_models.siglip.folder import read_tower

    first = read_tower(write_tower(tmp_path / "a")).id
    assert read_tower(write_tower(tmp_path / "b")).id == first
    assert read_tower(write_tower(tmp_path / "c", seed=1)).id != first
    (tmp_path / "b" / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5, 0.5, 0.4]}))
    other = read_tower(tmp_path / "b")
    assert other.id != first and other.options["pixel_mean"] == (0.5, 0.5, 0.4)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"hidden_act": "quick_gelu"}, r"'hidden_act' is 'quick_gelu'; only 'gelu_pytorch_tanh' is computed"),
        ({"layer_norm_eps": 1e-5}, r"'layer_norm_eps' is 1e-05; only 1e-06 is computed"),
        ({"hidden_size": 24}, r"its places are \(4, 12\); by its sizes they would be \(4, 24\)"),
        ({"intermediate_size": 24}, r"size mismatch"),
        ({"hidden_size": 65536, "image_size": 4096, "patch_size": 1}, r"they would be \(16777216, 65536\)"),  # 4 TiB
        ({"num_hidden_layers": 3}, r"Missing key.*layers\.2"),
        ({"num_hidden_layers": 1}, r"Unexpected key.*layers\.1"),
        ({"num_attention_heads": 5}, r"not a multiple of 'tower_heads', 5"),
        ({"patch_size": "8"}, r"'patch' is '8'; it must be an integer"),
        ({"vision_config": 3}, r"holds no SigLIP tower"),
        ({"vision_config": {}}, r"config.json has no hidden_size, num_hidden_layers"),
    ],
)
def test_a_folder_that_is_none(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    from vla_models.siglip.folder import read_tower

    with pytest.raises(PolicyError, match=message):
        read_tower(write_tower(tmp_path, **config))


def test_files_that_are_damaged(tmp_path: Path) -> None:
    from vla_models.siglip.folder import read_tower

    with pytest.raises(PolicyError, match="holds no SigLIP tower"):
        read_tower(tmp_path)
    weights = write_tower(tmp_path) / "model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:200])
    with pytest.raises(PolicyError, match="holds no SigLIP tower"):
        read_tower(tmp_path)
    weights.unlink()
    with pytest.raises(PolicyError, match="hold 0 towers"):
        read_tower(tmp_path)
    weights.write_bytes(kept)
    (tmp_path / "preprocessor_config.json").write_text('{"image_std": [0.5, 0, 0.5]}')
    with pytest.raises(PolicyError, match=r"'pixel_std' is .*each must be above 0"):
        read_tower(tmp_path)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"do_normalize": False}, r"'do_normalize' is False; only True is computed"),
        ({"do_rescale": False}, r"'do_rescale' is False; only True is computed"),
        ({"rescale_factor": 1.0}, r"'rescale_factor' is 1.0; only 0.0039"),
        ([1], r"holds no SigLIP tower"),
    ],
)
def test_pictures_made_otherwise_are_refused(tmp_path: Path, said: Any, message: str) -> None:
    from vla_models.siglip.folder import read_tower

    (write_tower(tmp_path) / "preprocessor_config.json").write_text(json.dumps(said))
    with pytest.raises(PolicyError, match=message):
        read_tower(tmp_path)


def test_the_processor_of_a_model_around_a_tower_says_its_normalization(tmp_path: Path) -> None:
    """As transformers 5 saves it: one file for the whole processor."""
    transformers = pytest.importorskip("transformers")

    from vla_models.siglip.folder import read_tower

    theirs = transformers.SiglipImageProcessor(image_mean=[0.25, 0.5, 0.75], image_std=[0.5, 0.25, 0.5])
    said = json.loads(theirs.to_json_string())
    (write_tower(tmp_path) / "processor_config.json").write_text(json.dumps({"image_processor": said}))
    (tmp_path / "preprocessor_config.json").write_text("{}")
    options = read_tower(tmp_path).options
    assert (options["pixel_mean"], options["pixel_std"]) == ((0.25, 0.5, 0.75), (0.5, 0.25, 0.5))


@pytest.mark.parametrize("change", ["int8", "nan"])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, change: str) -> None:
    """Of 8 bits, whose scales would be elsewhere, and damaged ones."""
    import torch
    from safetensors.torch import load_file, save_file

    from vla_models.siglip.folder import read_tower

    path = write_tower(tmp_path) / "model.safetensors"
    weights = load_file(path)
    name = "encoder.layers.0.mlp.fc1.weight"
    weights[name] = weights[name].to(torch.int8) if change == "int8" else weights[name] * float("nan")
    save_file(weights, path)
    with pytest.raises(PolicyError, match=rf"{name} (is|has) .*(of floats|not finite)"):
        read_tower(tmp_path)


def test_a_trained_tower_is_a_folder_too(tmp_path: Path) -> None:
    import torch

    from vla_models.saved import save_policy
    from vla_models.siglip.folder import read_tower

    policy = made("siglip_tower", pixel_mean=[0.4, 0.5, 0.6])
    save_policy(tmp_path, "siglip_tower", policy.config, policy.state_dict())
    tower = read_tower(tmp_path)
    assert tower.options == {**TOWER, "pixel_mean": (0.4, 0.5, 0.6), "pixel_std": (0.5,) * 3}
    assert all(torch.equal(tower.weights[n], w) for n, w in policy.tower.state_dict().items())


def test_the_tower_sees_no_hidden_patch() -> None:
    """And says of each hidden one what is there: the order in which patches are given means nothing."""
    import torch

    policy = made("siglip_tower")
    pictures, other = torch.randn(2, 1, 3, SIDE, SIDE)
    other[:, :, :8, 8:], other[:, :, 8:, :8] = pictures[:, :, :8, 8:], pictures[:, :, 8:, :8]
    seen, hidden = torch.tensor([[1, 2]]), torch.tensor([[3, 0]])
    with torch.no_grad():
        said = policy(pictures, seen, hidden)
        assert torch.equal(policy(other, seen, hidden), said)
        assert not torch.allclose(policy(pictures, torch.tensor([[1, 0]]), hidden), said)
        torch.testing.assert_close(policy(pictures, seen.flip(1), hidden.flip(1)), said.flip(1))


def test_patches_are_cut_by_rows() -> None:
    import torch

    policy = made("siglip_tower")
    camera = "observation.images.front"
    pixels = frames(3)[camera]
    batch = policy.prepare({camera: torch.from_numpy(pixels)[:, None]})
    assert batch.target.shape == (3, 4, 3 * PATCH * PATCH)
    for patch, (row, column) in enumerate([(0, 0), (0, 8), (8, 0), (8, 8)]):
        part = pixels[1, row : row + 8, column : column + 8].astype(np.float64).transpose(2, 0, 1).flatten()
        wanted = (part - part.mean()) / part.std(ddof=1)
        np.testing.assert_allclose(batch.target[1, patch], wanted, atol=1e-4)
