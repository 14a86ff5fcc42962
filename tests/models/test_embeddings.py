"""Embedded sentences: one folder for training and robot, its manifest, what is refused; and encoders of two kinds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_models.errors import LanguageError
from vla_models.language.embeddings import Embeddings, padded, write_embeddings

ROWS = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)


def written(folder: Path) -> Path:
    write_embeddings(folder, "tower@1", {"": ROWS[:1], "pass the cube": ROWS})
    return folder


def test_what_was_written_is_read(tmp_path: Path) -> None:
    found = Embeddings(written(tmp_path / "text"))
    assert (found.encoder, found.width) == ("tower@1", 8)
    assert np.array_equal(found.rows("pass the cube"), ROWS) and np.array_equal(found.rows(""), ROWS[:1])
    key = hashlib.sha256(b"tower@1\0pass the cube").hexdigest()
    assert np.array_equal(np.load(tmp_path / "text" / f"{key}.npy"), ROWS)
    said = json.loads((tmp_path / "text" / "manifest.json").read_text())
    assert said["sentences"][key] == "pass the cube" and said["version"] == 1


def test_sentences_are_added(tmp_path: Path) -> None:
    write_embeddings(written(tmp_path), "tower@1", {"open the box": 2 * ROWS, "pass the cube": 3 * ROWS})
    found = Embeddings(tmp_path)
    assert sorted(found.sentences.values()) == ["", "open the box", "pass the cube"]
    assert np.array_equal(found.rows("open the box"), 2 * ROWS)
    assert np.array_equal(found.rows("pass the cube"), 3 * ROWS)
    with pytest.raises(LanguageError, match="has sentences of tower@1, not of tower@2; give another folder"):
        write_embeddings(tmp_path, "tower@2", {"open the box": ROWS})
    with pytest.raises(LanguageError, match=r"widths \[8, 9\]"):
        write_embeddings(tmp_path, "tower@1", {"open the box": np.zeros((2, 9), np.float32)})
    assert np.array_equal(Embeddings(tmp_path).rows("open the box"), 2 * ROWS)


def test_short_sentences_are_padded() -> None:
    rows, mask = padded(ROWS, 5)
    assert np.array_equal(rows, np.concatenate([ROWS, np.zeros((2, 8))])[None]) and mask.tolist() == [[1, 1, 1, 0, 0]]
    assert rows.dtype == mask.dtype == np.float32
    with pytest.raises(LanguageError, match="has 3 tokens; the policy takes at most 2"):
        padded(ROWS, 2)


def test_a_sentence_that_is_missing_is_an_error(tmp_path: Path) -> None:
    found = Embeddings(written(tmp_path))
    for text in ("pass the cube.", "Pass the cube", "dance", "half a \ud83d"):
        with pytest.raises(
            LanguageError, match=r"has no embedding of .* by tower@1; it has .*'pass the cube'.* Add it"
        ):
            found.rows(text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "damaged, or of another version than 1"),
        ({"width": 8.0}, "damaged"),
        ({"width": -1}, "damaged"),
        ({"encoder": 3}, "damaged"),
        ({"sentences": ["pass the cube"]}, "damaged"),
        ({"sentences": {"a": 3}}, "damaged"),
        (None, "holds no embedded sentences: .*; make them with 'vla-train embed-text'"),
    ],
)
def test_damaged_manifests(tmp_path: Path, change: dict[str, Any] | None, said: str) -> None:
    path = written(tmp_path) / "manifest.json"
    path.write_text("{" if change is None else json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(LanguageError, match=said):
        Embeddings(tmp_path)
    path.unlink()
    with pytest.raises(LanguageError, match="holds no embedded sentences"):
        Embeddings(tmp_path)


def test_damaged_files(tmp_path: Path) -> None:
    """Another shape or type, not a number, cut short, a size that no file has, a pickle: none of it is taken."""
    found = Embeddings(written(tmp_path))
    (path,) = (p for p in tmp_path.glob("*.npy") if np.load(p).shape == (3, 8))
    whole = path.read_bytes()
    bad = [ROWS[:, :7], ROWS[:0], ROWS[0], ROWS.astype(np.float64), ROWS * np.nan, np.array([["x"]], object)]
    for array in bad:
        np.save(path, array, allow_pickle=True)
        with pytest.raises(LanguageError, match=r"it must be finite float32|is damaged"):
            found.rows("pass the cube")
    for data in (b"", whole[:-4], whole.replace(b"(3, 8)", b"(3, 9)"), whole.replace(b"(3, 8), ", b"(9**9, 8")):
        path.write_bytes(data)
        with pytest.raises(LanguageError, match="damaged"):
            found.rows("pass the cube")
    path.unlink()
    with pytest.raises(LanguageError, match="damaged"):
        found.rows("pass the cube")


@pytest.fixture(params=["bert", "t5"])
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Any]:
    """A folder as Hugging Face's library writes it, of random weights, and the model."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["<pad>", "<unk>", "<end>", "pass", "the", "cube", "open", "box"]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <end>", special_tokens=[("<end>", 2)])
    if request.param == "bert":
        size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        model = transformers.BertModel(transformers.BertConfig(vocab_size=8, max_position_embeddings=6, **size))
    else:
        size = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
        model = transformers.T5EncoderModel(transformers.T5Config(vocab_size=8, **size))
    folder = tmp_path / request.param
    model.eval().save_pretrained(folder)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>")
    fast.save_pretrained(folder)
    return folder, model


def test_the_command_writes_what_the_encoder_says(
    encoder: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    from vla_training.cli import main

    folder, model = encoder
    out = tmp_path / "text"
    command = ["embed-text", "--encoder", str(folder), "--out", str(out)]
    assert main([*command, "--text", "pass the cube", "open the box"]) == 0
    found = Embeddings(out)
    assert capsys.readouterr().out == f"{out}: 3 sentences by {found.encoder}\n"
    assert found.encoder.startswith(f"{folder.name}@") and len(found.encoder) == len(folder.name) + 17
    for text, tokens in (("pass the cube", [3, 4, 5, 2]), ("open the box", [6, 4, 7, 2]), ("", [2])):
        with torch.no_grad():
            wanted = model(input_ids=torch.tensor([tokens])).last_hidden_state[0].numpy()
        assert np.allclose(found.rows(text), wanted, atol=1e-6), text
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    model.save_pretrained(folder)  # of the same name, with other weights
    assert main([*command, "--text", "pass the cube"]) == 1
    assert "give another folder" in capsys.readouterr().err


def test_encoders_that_are_none(encoder: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from vla_training.cli import main

    folder, _ = encoder
    out = ["--out", str(tmp_path / "text")]
    assert main(["embed-text", "--encoder", str(tmp_path), "--text", "x", *out]) == 1
    assert "holds no encoder: it has no *.safetensors" in capsys.readouterr().err
    assert main(["embed-text", "--encoder", str(folder), *out]) == 2
    assert "give --text or --data" in capsys.readouterr().err
    assert main(["embed-text", "--encoder", str(folder), "--text", "half a \ud83d", *out]) == 1
    assert r"'half a \ud83d' is no text" in capsys.readouterr().err
    if folder.name == "bert":
        assert main(["embed-text", "--encoder", str(folder), "--text", "the " * 9, *out]) == 1
        assert "has more than the 6 tokens that bert takes" in capsys.readouterr().err
    next(folder.glob("*.safetensors")).write_bytes(b"x" * 100)
    assert main(["embed-text", "--encoder", str(folder), "--text", "x", *out]) == 1
    assert "holds no encoder that can be read" in capsys.readouterr().err
    assert not (tmp_path / "text").exists()
