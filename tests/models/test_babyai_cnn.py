"""The BabyAI CNN: its size, its inputs, its words."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vla_models.babyai_cnn.config import VOCABULARY_SIZE, BabyAICnnConfig
from vla_models.babyai_cnn.preprocess import CAMERA, BabyAIPreprocessor
from vla_models.babyai_cnn.words import WORDS, bag_of_words
from vla_models.errors import ExportError, ObservationError, PolicyError


def _frame(value: int) -> dict[str, np.ndarray]:
    return {CAMERA: np.full((56, 56, 3), value, np.uint8)}


def _logits(action: int) -> dict[str, np.ndarray]:
    return {"action_logits": np.eye(7, dtype=np.float32)[[action]]}


def test_size_is_what_the_readme_says() -> None:
    from vla_models.babyai_cnn.model import BabyAICnn

    policy = BabyAICnn(BabyAICnnConfig())
    count = sum(parameter.numel() for parameter in policy.parameters())
    readme = Path(sys.modules["vla_models.babyai_cnn"].__file__ or "").with_name("README.md").read_text()
    assert f"{count:,} parameters" in readme
    assert policy(*policy.graphs()[0].example(3).values()).shape == (3, 7)


def test_weights_that_are_no_numbers_are_not_exported(tmp_path: Path) -> None:
    import torch

    from vla_models.babyai_cnn.model import BabyAICnn
    from vla_models.export_onnx import export_onnx

    policy = BabyAICnn(BabyAICnnConfig(channels=(4, 4, 4), hidden=4))
    with torch.no_grad():
        policy.head.bias[3] = float("nan")
    with pytest.raises(ExportError, match="'policy': outputs are not numbers"):
        export_onnx(policy, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_stack_starts_full_and_shifts() -> None:
    preprocessor = BabyAIPreprocessor()
    preprocessor.reset("go to the red ball")
    first = preprocessor.inputs(_frame(10))["image"]
    assert first.shape == (1, 12, 56, 56) and first.dtype == np.float32
    assert np.unique(first).tolist() == [np.float32(10) / np.float32(255)]
    second = preprocessor.inputs(_frame(20))["image"][0, ::3, 0, 0] * 255
    assert np.round(second).tolist() == [10, 10, 10, 20]


def test_reset_forgets_images_and_action() -> None:
    preprocessor = BabyAIPreprocessor()
    preprocessor.reset("go to a key")
    assert not preprocessor.inputs(_frame(1))["previous_action"].any()
    assert preprocessor.actions(_logits(2)).tolist() == [2]
    assert preprocessor.inputs(_frame(2))["previous_action"][0].tolist() == [0, 0, 1, 0, 0, 0, 0]
    preprocessor.reset("go to a key")
    again = preprocessor.inputs(_frame(3))
    assert not again["previous_action"].any() and np.ptp(again["image"]) == 0


def test_every_word_of_the_levels_is_known_and_fits() -> None:
    assert len(set(WORDS)) == len(WORDS) <= VOCABULARY_SIZE // 2
    verifier = pytest.importorskip("minigrid.envs.babyai.core.verifier")
    source = Path(verifier.__file__).read_text()
    surfaces = [line for line in source.splitlines() if re.search(r"(return|s =|\+) \"[a-z ,]+\"|surface", line)]
    literals = re.findall(r'"([a-z ,]+)"', "\n".join(surfaces))
    words = {word for text in literals for word in text.replace(",", " ").split()}
    assert words - {"success", "failure", "continue"} <= set(WORDS)
    assert set(verifier.COLOR_NAMES) | set(verifier.OBJ_TYPES) <= set(WORDS)


def test_equal_logits_give_the_first_action() -> None:
    logits = np.array([[0, 3, 1, 3, 2, 3, 0]], np.float32)
    assert BabyAIPreprocessor().actions({"action_logits": logits}).tolist() == [1]


def test_an_action_that_does_not_exist_is_not_learned() -> None:
    import torch

    from vla_models.babyai_cnn.model import babyai_batch

    samples = {
        CAMERA: torch.zeros(1, 4, 56, 56, 3, dtype=torch.uint8),
        "action": torch.tensor([[0, 7]]),
        "action_is_pad": torch.tensor([[False, False]]),
        "task": ["go to a key"],
    }
    with pytest.raises(ObservationError, match=r"an action outside 0\.\.6"):
        babyai_batch(samples)


def test_bag_of_words_counts() -> None:
    counts = bag_of_words("Go to the red ball, then go to the BOX")
    assert counts[WORDS.index("go")] == 2 and counts[WORDS.index("then")] == 1 and counts.sum() == 10
    assert not counts[len(WORDS) :].any()


def test_what_is_put_next_to_what() -> None:
    one, other = (
        bag_of_words(f"put the {a} ball next to the {b} box") for a, b in (("red", "green"), ("green", "red"))
    )
    assert one.sum() == other.sum() == 9 and (one != other).sum() == 4
    assert one[WORDS.index("red")] == one[32 + WORDS.index("green")] == one[32 + WORDS.index("box")] == 1
    assert one[WORDS.index("next")] == 1 and one[WORDS.index("box")] == one[32 + WORDS.index("next")] == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bag_of_words("go to the rad ball"), "'rad' is not in the vocabulary. Did you mean 'red'"),
        (lambda: bag_of_words(" , "), "mission is empty"),
        (lambda: BabyAIPreprocessor().inputs(_frame(0)), "No mission yet"),
        (lambda: BabyAIPreprocessor().actions({"action_logits": np.full((1, 7), np.nan)}), "7 finite numbers"),
        (lambda: BabyAIPreprocessor().actions({"action_logits": np.zeros((1, 6))}), "7 finite numbers"),
    ],
)
def test_bad_observations_are_refused(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ObservationError, match=message):
        call()


def test_wrong_images_are_refused() -> None:
    preprocessor = BabyAIPreprocessor()
    preprocessor.reset("go to a key")
    for image in (np.zeros((7, 7, 3), np.uint8), np.zeros((56, 56, 3), np.float32)):
        with pytest.raises(ObservationError, match="it must be uint8"):
            preprocessor.inputs({CAMERA: image})


def test_bad_widths_are_refused() -> None:
    with pytest.raises(PolicyError, match="must have 3"):
        BabyAICnnConfig(channels=(1, 2))  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="from 1 to 4096"):
        BabyAICnnConfig(hidden=0)


def test_the_robot_side_needs_no_torch() -> None:
    code = "import sys; import vla_models.babyai_cnn.preprocess; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_example_inputs_are_repeatable() -> None:
    import torch

    from vla_models.babyai_cnn.model import babyai_inputs

    for one, other in zip(babyai_inputs(2).values(), babyai_inputs(2).values(), strict=True):
        assert torch.equal(one, other)
