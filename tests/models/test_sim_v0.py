"""SIM v0: what learns, what is saved, what robot and training make of a run; each mistake of the earlier system."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rover_samples import FRAMES, SMALL, fitted, made, run, windows, write_language_model
from vla_datasets.worlds.rover.names import IMAGE, TELEMETRY
from vla_models.errors import ObservationError, PolicyError
from vla_models.registry import find_policy

pytest.importorskip("transformers")
LEARNT = ("eyes.", "projector.", "telemetry.", "task", "heads.")


def test_the_published_sizes() -> None:
    policy = made(width=768, heads=12, features=768, architecture="gpt2", layers=1)
    parts = (policy.projector, policy.telemetry, policy.heads)
    counts = [sum(weight.numel() for weight in part.parameters()) for part in parts]
    assert counts == [1_181_184, 299_136, 11_535]
    assert sum(counts) + policy.task.numel() == 1_492_623


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "opt"])
def test_gradients_pass_the_language_model_and_stay_out_of_it(architecture: str) -> None:
    """Published: it ran without gradients, so that the heads alone learnt, and with dropout."""
    import torch

    from vla_training.objectives.risk import Risk

    policy = made(architecture=architecture).train()
    assert not any(module.training for module in policy.backbone.modules()) and policy.training
    batch = policy.prepare(windows(run(12)))
    first, again = (policy(*batch.inputs.values()) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    loss, _ = Risk().loss(policy, batch, None)  # type: ignore[arg-type]
    loss.backward()
    for name, weight in policy.named_parameters():
        assert name.startswith((*LEARNT, "backbone."))
        learns = not name.startswith("backbone.")
        assert weight.requires_grad == learns and (weight.grad is not None) == learns, name
        assert not learns or bool(weight.grad.any()), name
    assert not policy.eval().training


def test_later_tokens_are_not_seen() -> None:
    """The task comes last: what the language model says there is of all tokens, and what it says before is not."""
    import torch

    policy = made()
    tokens = torch.randn(1, 6, 16)
    changed = tokens.clone()
    changed[:, 0] += 1
    with torch.no_grad():
        assert not torch.allclose(policy.backbone(tokens), policy.backbone(changed), atol=1e-4)
        assert torch.equal(policy.backbone(tokens[:, :3]), policy.backbone(tokens[:, :3]))
        hidden = policy.backbone.model(inputs_embeds=tokens, use_cache=False).last_hidden_state
    torch.testing.assert_close(hidden[:, 2], policy.backbone(tokens[:, :3]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("frames", "tokens", "wanted"), [(8, 4, (2, 2, 2, 2)), (8, 3, (3, 3, 2)), (5, 4, (2, 1, 1, 1))]
)
def test_segments(frames: int, tokens: int, wanted: tuple[int, ...]) -> None:
    config = find_policy("sim_v0").configured({"frames": frames, "video_tokens": tokens})
    assert config.segments == wanted


def test_the_robot_says_what_training_sees() -> None:
    """Frame by frame with rows kept, beside windows with all pictures: the begin of the run included."""
    import torch

    policy = made().eval()
    frames = run(11)
    with torch.no_grad():
        batch = policy.prepare(windows(frames))
        wanted = policy(*batch.inputs.values())
    preprocessor = find_policy("sim_v0").preprocessor(policy.config)
    preprocessor.reset("")
    for number in range(11):
        seen = {IMAGE: frames[IMAGE][number], TELEMETRY: frames[TELEMETRY][number]}
        inputs = preprocessor.inputs(seen)
        for name in preprocessor.input_names:
            torch.testing.assert_close(
                torch.from_numpy(inputs[name][0]), batch.inputs[name][number], atol=1e-5, rtol=1e-4
            )
        with torch.no_grad():
            found = policy(*(torch.from_numpy(inputs[name]) for name in preprocessor.input_names))
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one[0], other[number], atol=1e-5, rtol=1e-4)
        outputs = {n: v.numpy() for n, v in zip(preprocessor.output_names, found, strict=True)}
        assert preprocessor.actions(outputs).shape == (1, 3)
        assert set(preprocessor.words) == {"risk", "reason", "action", "confidence"}
    preprocessor.reset("")
    assert not preprocessor.inputs(seen)["history"].any()


def test_every_picture_and_the_telemetry_count() -> None:
    import torch

    policy = made().eval()
    batch = policy.prepare(windows(run(FRAMES)))
    inputs = {name: value[-1:] for name, value in batch.inputs.items()}
    with torch.no_grad():
        plain = policy(*inputs.values())[0]
        for place in range(FRAMES):
            frames = inputs["frames"].clone()
            frames[:, place] *= -1
            assert not torch.allclose(policy(*(inputs | {"frames": frames}).values())[0], plain, atol=1e-6), place
        telemetry = inputs["telemetry"].clone()
        telemetry[:, 6] += 1
        assert not torch.allclose(policy(*(inputs | {"telemetry": telemetry}).values())[0], plain, atol=1e-6)


def test_a_saved_policy_names_its_language_model_and_statistics(tmp_path: Path) -> None:
    """Published: all weights were saved, the name was not, and statistics were made up."""
    import torch

    from vla_models.saved import load_policy, save_policy

    config = fitted(backbone=str(write_language_model(tmp_path / "words")))
    assert config.backbone_id and config.telemetry_mean == (0.5,) * 8 and config.telemetry_std == (1e-3, *[2.0] * 7)
    policy = find_policy("sim_v0").make(config).eval()
    (tmp_path / "saved").mkdir()
    save_policy(tmp_path / "saved", "sim_v0", config, policy.state_dict())
    said = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert said["backbone_id"] == config.backbone_id and said["telemetry_mean"] == [0.5] * 8
    learnt = {name for name, weight in policy.named_parameters() if weight.requires_grad}
    assert set(policy.state_dict()) == learnt | {name for name, _ in policy.eyes.named_buffers(prefix="eyes")}
    loaded = load_policy(tmp_path / "saved")
    inputs = policy.graphs()[0].example(2).values()
    with torch.no_grad():
        assert all(torch.equal(one, other) for one, other in zip(loaded(*inputs), policy(*inputs), strict=True))
    write_language_model(tmp_path / "words", seed=1)
    with pytest.raises(PolicyError, match=r"the language model in .* is '.*'; the policy was trained with"):
        load_policy(tmp_path / "saved")
    with pytest.raises(PolicyError, match=r"'backbone_id' is '.*', and .* is '"):
        fitted(backbone=str(tmp_path / "words"), backbone_id=config.backbone_id)


def test_a_saved_policy_cannot_bring_another_language_model(tmp_path: Path) -> None:
    policy = find_policy("sim_v0").make(fitted(backbone=str(write_language_model(tmp_path))))
    name = "backbone.model.norm.weight"
    with pytest.raises(RuntimeError, match=f"{name} is of its language model's folder"):
        policy.load_state_dict({**policy.state_dict(), name: policy.get_parameter(name) + 1})


def test_the_first_layers_of_a_language_model(tmp_path: Path) -> None:
    import torch
    import transformers

    folder = write_language_model(tmp_path)
    policy = find_policy("sim_v0").make(fitted(backbone=str(folder), layers=3))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = torch.randn(2, 6, 16)
    with torch.no_grad():
        wanted = theirs(inputs_embeds=tokens, output_hidden_states=True).hidden_states
        torch.testing.assert_close(policy.backbone(tokens), wanted[-1][:, -1], atol=1e-5, rtol=1e-5)
        shorter = find_policy("sim_v0").make(fitted(backbone=str(folder), layers=2))
        last = theirs.model.norm(wanted[2])[:, -1]
        torch.testing.assert_close(shorter.backbone(tokens), last, atol=1e-5, rtol=1e-5)
    with pytest.raises(PolicyError, match="'layers' is 4, and it has 3"):
        find_policy("sim_v0").make(fitted(backbone=str(folder), layers=4))


def test_turned_rows_have_no_large_channel_and_say_the_same(tmp_path: Path) -> None:
    """Of a Llama with biases, weights in its norms and a channel that each layer makes large, as SmolLM2 has them."""
    import torch
    import transformers

    from vla_models.sim_v0.backbone import Backbone

    folder = write_language_model(tmp_path, attention_bias=True, mlp_bias=True)
    plain, other = (transformers.LlamaModel.from_pretrained(folder, dtype=torch.float32) for _ in range(2))
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in plain.named_parameters():
            weight += 0.3 * torch.randn_like(weight)
            if "down_proj" in name:
                weight[3] *= 30
        other.load_state_dict(plain.state_dict())
        plain, turned = Backbone(plain), Backbone(other, turned=True)
        tokens = torch.randn(4, 6, 16)
        torch.testing.assert_close(turned(tokens), plain(tokens), atol=1e-4, rtol=1e-4)

        def largest(model: Any, rows: Any) -> float:
            row = model(inputs_embeds=rows, output_hidden_states=True).hidden_states[2]
            return float(row.abs().max() / row.square().mean().sqrt())

        assert largest(turned.model, tokens @ turned.there) < 0.75 * largest(plain.model, tokens)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    """Published: what could not be read was replaced by random numbers."""
    with pytest.raises(PolicyError, match=r"has no \*\.safetensors beside config.json"):
        fitted(backbone=str(tmp_path / "missing"))
    folder = write_language_model(tmp_path)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(PolicyError, match="holds no language model that can be read"):
        find_policy("sim_v0").make(fitted(backbone=str(folder)))
    (folder / "config.json").write_text("{")
    with pytest.raises(PolicyError, match="holds no language model that can be read"):
        fitted(backbone=str(folder))


def test_weights_that_a_folder_lacks_are_not_made_up(tmp_path: Path) -> None:
    """transformers draws them at random and goes on: each time another model, none of them the folder's."""
    from safetensors.torch import load_file, save_file

    path = write_language_model(tmp_path) / "model.safetensors"
    weights = load_file(path)
    for kept in (
        {name: weight for name, weight in weights.items() if "layers.1.mlp.down_proj" not in name},
        {f"other.{name}": weight for name, weight in weights.items()},
    ):
        save_file(kept, path, {"format": "pt"})
        with pytest.raises(PolicyError, match=r"lack \d+ of its weights, such as"):
            find_policy("sim_v0").make(fitted(backbone=str(tmp_path)))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("bert", {"intermediate_size": 32}, "'model_type' is bert; it must be one of llama, gpt2, opt"),
        ("gpt2", {"max_position_embeddings": 5}, "it takes 5 tokens, and 6 come"),
        ("opt", {"ffn_dim": 32, "word_embed_proj_dim": 8}, "tokens have another width than its rows"),
    ],
)
def test_a_language_model_of_another_form_is_refused(
    tmp_path: Path, kind: str, options: dict[str, Any], message: str
) -> None:
    """One that sees later tokens, one for fewer tokens, and one that takes rows of another width (OPT-350M)."""
    import transformers

    sizes = {"vocab_size": 8, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, **options}
    config = transformers.AutoConfig.for_model(kind, **sizes)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(PolicyError, match=message):
        find_policy("sim_v0").make(fitted(backbone=str(tmp_path)))


def test_frozen_eyes_look_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    frames = windows(run(10))
    plain = made().eval()
    kept = made(eyes_frozen=True, feature_cache=str(tmp_path)).eval()
    assert not any(weight.requires_grad for weight in kept.eyes.parameters())
    assert not any(module.training for module in kept.train().eyes.modules()) and kept.eval().projector is not None
    with torch.no_grad():
        wanted = plain(*plain.prepare(frames).inputs.values())
        found = kept(*kept.prepare(frames).inputs.values())
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
        monkeypatch.setattr(kept.eyes, "forward", lambda pictures: pytest.fail("looked again"))
        batch = kept.prepare(frames)
    assert batch.inputs["frames"].shape == (10, FRAMES, SMALL["features"])


def test_what_is_said() -> None:
    from vla_models.sim_v0.said import chances, predict_json, said

    config = find_policy("sim_v0").configured({"high_from": 0.25})
    outputs = {
        "risk": np.log([[0.5, 0.1, 0.1, 0.3], [0.2, 0.5, 0.2, 0.1]]),
        "reason": np.log([[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7]]),
        "action": np.log([[0.1, 0.1, 0.5, 0.1, 0.1, 0.1], [0.5, 0.1, 0.1, 0.1, 0.1, 0.1]]),
        "confidence": np.array([[0.0], [np.log(3)]]),
    }
    assert said(config, chances(outputs)).tolist() == [[3, 0, 2], [1, 3, 0]]
    assert predict_json(config, outputs, ["a", "b"]) == [
        {"risk": "high", "reason": "human", "action": "stop", "confidence": 0.5, "sample_id": "a"},
        {
            "risk": "low",
            "reason": "unknown",
            "action": "continue",
            "confidence": pytest.approx(0.75),
            "sample_id": "b",
        },
    ]
    with pytest.raises(ObservationError, match=r"'risk' is \(1, 3\); it must be \(N, 4\)"):
        predict_json(config, {**outputs, "risk": np.zeros((1, 3))})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"telemetry_std": (0.0, *[1.0] * 7)}, "each must be above 0"),
        ({"telemetry_mean": (0.0,)}, "must be 8 finite numbers"),
        ({"video_tokens": 9}, "must be at most 'frames', 8"),
        ({"image_size": 90}, "it must be a multiple of 16"),
        ({"feature_cache": "x"}, "'eyes_frozen' false"),
        ({"width": 60}, "a multiple of twice 'heads', 8"),
        ({"channels": ()}, "'channels' is"),
        ({"high_from": 1.5}, "'high_from' is 1.5; it must be from 0.0 to 1.0"),
        ({"camera": ""}, "'camera' is empty"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        find_policy("sim_v0").configured(options)


def test_labels_that_are_none_are_refused() -> None:
    """-100 would weigh nothing (torch's cross-entropy), and others be no message."""
    found = run(3)
    for wrong in (-100, 6):
        found["action"][1, 2] = wrong
        with pytest.raises(PolicyError, match=rf"'action' of the data has .*{wrong}.*from 0 to below 4, 4, 6"):
            made().prepare(windows(found))


def test_observations_of_another_form() -> None:
    preprocessor = find_policy("sim_v0").preprocessor(find_policy("sim_v0").configured(SMALL))
    seen = {IMAGE: np.zeros((16, 16, 3), np.uint8), TELEMETRY: np.zeros(8)}
    for change, message in (
        ({IMAGE: np.zeros((8, 8, 3), np.uint8)}, "must be uint8 \\(16, 16, 3\\)"),
        ({TELEMETRY: np.zeros(7)}, "must be 8 finite numbers"),
        ({TELEMETRY: np.full(8, np.nan)}, "must be 8 finite numbers"),
    ):
        with pytest.raises(ObservationError, match=message):
            preprocessor.inputs({**seen, **change})
    with pytest.raises(ObservationError, match="'row' is"):
        preprocessor.actions({"row": np.zeros((1, 3))})
