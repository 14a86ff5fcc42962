"""Embed sentences with an encoder from a folder of Hugging Face's files, weights as safetensors; nothing is fetched.

All-MiniLM-L6-v2 and other BERTs are taken, and T5, whose encoder RDT was trained with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_isa.documents import is_text
from vla_models.errors import LanguageError

__all__ = ["embed"]


def embed(folder: Path, texts: Iterable[str]) -> tuple[str, dict[str, npt.NDArray[np.float32]]]:
    """The encoder's identity, its name and a digest of its weights, and rows (tokens, width) by text.

    Rows are the last layer's, of all tokens; the empty text is embedded too.

    Raises:
        LanguageError: the folder holds no encoder, the package `transformers` is missing, or a text is too long.
    """
    try:
        import torch
        from transformers import AutoConfig, AutoModel, AutoTokenizer, T5EncoderModel
    except ImportError as error:
        raise LanguageError(
            f"encoders need the package '{error.name}', which is not installed; "
            "pip install 'vla-toolchain[train,transformers]'"
        ) from error
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise LanguageError(f"{folder} holds no encoder: it has no *.safetensors beside config.json and a tokenizer.")
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        kind = T5EncoderModel if AutoConfig.from_pretrained(folder, **local).model_type == "t5" else AutoModel
        model = kind.from_pretrained(folder, use_safetensors=True, dtype=torch.float32, **local).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
    except Exception as error:  # whatever a file from outside makes the library do
        raise LanguageError(f"{folder} holds no encoder that can be read: {error}") from error
    found = {}
    for text in dict.fromkeys(["", *texts]):
        if not is_text(text):
            raise LanguageError(f"{text!a:.80} is no text: it has what UTF-8 has not.")
        tokens = tokenizer(text, return_tensors="pt", truncation=False)
        most = getattr(model.config, "max_position_embeddings", None)
        if most is not None and tokens["input_ids"].shape[1] > most:
            raise LanguageError(f"{text[:60]!r}... has more than the {most} tokens that {folder.name} takes.")
        with torch.no_grad():
            rows = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
        found[text] = rows[0].numpy()
    return f"{folder.resolve().name}@{_digest(weights)}", found


def _digest(weights: list[Path]) -> str:
    found = hashlib.sha256()
    for path in weights:
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:16]
