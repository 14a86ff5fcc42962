"""RDT's own deployment call: `step(proprio, images, text_embeds)`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rdt_samples import CAMERA, PLACES, SIDE, TASK, made, write_sentences
from vla_datasets.keys import STATE
from vla_models.chunks.names import ACTIONS
from vla_models.errors import LanguageError, ObservationError
from vla_models.rdt.preprocess import RdtPreprocessor


@pytest.fixture
def sentences(tmp_path: Path) -> str:
    return str(write_sentences(tmp_path / "text"))


@pytest.fixture
def deployed(sentences: str) -> Any:
    """A policy with two cameras and the step before, and its deployment call over torch."""
    from vla_models.rdt.deployed import DeployedRdt

    options = {"history": 2, "execute": 1, "cameras": ("top", "left_wrist"), "ensemble": 0.5, "embeddings": sentences}
    policy = made(**options)
    asked: list[dict[str, np.ndarray]] = []

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        import torch

        asked.append(dict(inputs))
        with torch.no_grad():
            return {ACTIONS: policy.graphs()[0].module(*map(torch.from_numpy, inputs.values())).numpy()}

    return DeployedRdt(policy.config, run, seed=3), policy.config, asked


def test_the_deployment_call_is_the_preprocessor_with_pictures_in_hand(deployed: Any) -> None:
    """Published: `step(proprio, images, text_embeds)` gives (1, 64, 14); no picture is the mean colour."""
    from vla_models.rdt.sentences import Sentences

    model, config, asked = deployed
    rng = np.random.default_rng(0)
    top, wrist = rng.integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.uint8)
    state = rng.standard_normal((1, 14)).astype(np.float32)
    embeds = Sentences(config)(TASK)[0][:, :5]
    chunk = model.step(state, [None, None, Image.fromarray(top), wrist], embeds)
    assert chunk.shape == (1, 6, 14) and chunk.dtype == np.float32 and chunk.std() > 0.01
    preprocessor = RdtPreprocessor(config)
    preprocessor.reset(TASK, seed=3)
    seen = {STATE: state[0], CAMERA: top, "observation.images.left_wrist": wrist}
    wanted = preprocessor.inputs(seen)
    assert list(wanted) == list(asked[0]) and all(np.array_equal(wanted[n], asked[0][n]) for n in wanted)
    assert np.allclose(preprocessor.actions({ACTIONS: placed(chunk)}), chunk[0, :1], atol=1e-6)


def placed(chunk: np.ndarray) -> np.ndarray:
    """Joints in their places of the vector."""
    found = np.zeros((*chunk.shape[:2], 128), np.float32)
    found[..., list(PLACES)] = chunk
    return found


def test_the_deployment_call_blends_chunks(deployed: Any) -> None:
    model, _, _ = deployed
    state, pictures, embeds = np.zeros((1, 14)), [None] * 4, np.ones((1, 3, 24), np.float32)
    chunks = []
    plain = model.step
    model.step = lambda *arguments: chunks.append(plain(*arguments)) or chunks[-1]
    first, second = (model.action(state, pictures, embeds) for _ in range(2))
    assert np.allclose(first, chunks[0][0, 0])
    wanted = np.average([chunks[0][0, 1], chunks[1][0, 0]], axis=0, weights=np.exp([0, -0.5]))
    assert np.allclose(second, wanted, atol=1e-6) and not np.allclose(second, chunks[1][0, 0], atol=1e-3)
    model.reset()
    assert np.allclose(model.action(state, pictures, embeds), chunks[2][0, 0])


def test_the_deployment_call_checks_what_it_gets(deployed: Any) -> None:
    from vla_models.rdt.deployed import DeployedRdt

    model, config, _ = deployed
    state, pictures, embeds = np.zeros((1, 14)), [None] * 4, np.ones((1, 3, 24))
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    for arguments, said in (
        ((np.zeros((1, 13)), pictures, embeds), "proprio is .*14 finite numbers"),
        (
            (state, pictures[1:], embeds),
            "3 images; the policy takes 4: top 1 steps ago, left_wrist 1 .*, top now,",
        ),
        ((state, [picture / 255, *pictures[1:]], embeds), "an image is float64 .*uint8"),
        ((state, pictures, embeds[0]), r"text_embeds is \(3, 24\); it must be \(1, tokens, 24\)"),
        ((state, pictures, embeds * np.nan), "text_embeds is .*finite"),
    ):
        with pytest.raises(ObservationError, match=said):
            model.step(*arguments)
    with pytest.raises(LanguageError, match="has 8 tokens; the policy takes at most 7"):
        model.step(state, pictures, np.ones((1, 8, 24)))
    with pytest.raises(ObservationError, match="features of pictures"):
        DeployedRdt(dataclasses.replace(config, channels=()), lambda inputs: {})
