"""A folder of embedded sentences: one form for training and the robot, read with numpy alone.

    manifest.json    {"version": 1, "encoder": ID, "width": W, "sentences": {KEY: TEXT, ...}}
    KEY.npy          float32 (tokens, W) of that sentence; KEY is sha256 of the encoder's ID, a zero byte and the text

The empty sentence is always there: it stands for an instruction that is left out. A sentence that is not there, or a
folder of another encoder, is an error: rows of another one would be numbers without a meaning.

Not here: the encoder (`encoder.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vla_isa.documents import read_json
from vla_isa.files import make_folder, whole_file, write_whole
from vla_models.errors import LanguageError

__all__ = ["Embeddings", "padded", "write_embeddings"]

MANIFEST = "manifest.json"
_VERSION = 1
_MOST_TOKENS = 4096
Floats = npt.NDArray[np.float32]


def _key(encoder: str, text: str) -> str:
    return hashlib.sha256(f"{encoder}\0{text}".encode(errors="surrogatepass")).hexdigest()  # whatever a client sends


class Embeddings:
    """The sentences of a folder.

    Attributes:
        encoder: which one made them: its name and a digest of its weights.
        width: numbers of a token.
        sentences: their texts by key.

    Raises:
        LanguageError: there is no such folder, or its manifest is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, where = folder, folder / MANIFEST
        try:
            said = read_json(where)
            version, encoder, width, sentences = (said[k] for k in ("version", "encoder", "width", "sentences"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LanguageError(
                f"{folder} holds no embedded sentences: {error}; make them with 'vla-train embed-text'."
            ) from error
        texts = isinstance(sentences, dict) and all(isinstance(text, str) for text in sentences.values())
        if version != _VERSION or not isinstance(encoder, str) or type(width) is not int or width < 1 or not texts:
            raise LanguageError(f"{where} is damaged, or of another version than {_VERSION}; make it anew.")
        self.encoder, self.width, self.sentences = encoder, width, dict(sentences)

    def rows(self, text: str) -> Floats:
        """One sentence, (tokens, width).

        Raises:
            LanguageError: it was not embedded, or its file is damaged.
        """
        key = _key(self.encoder, text)
        if self.sentences.get(key) != text:
            known = "; ".join(repr(t) for t in list(self.sentences.values())[:5])
            raise LanguageError(
                f"{self._folder} has no embedding of {text!r} by {self.encoder}; it has {known}. Add it with "
                "'vla-train embed-text'."
            )
        path = self._folder / f"{key}.npy"
        try:
            found = np.lib.format.open_memmap(path, mode="r")  # refuses a file that is shorter than it says
        except Exception as error:  # whatever the header is
            raise LanguageError(f"{path} is damaged: {error}; make it anew.") from error
        fits = found.ndim == 2 and found.dtype == np.float32 and found.shape[1] == self.width
        if not fits or not 1 <= len(found) <= _MOST_TOKENS or not np.isfinite(found).all():
            raise LanguageError(
                f"{path} is {found.dtype} {found.shape}; it must be finite float32 (1 to {_MOST_TOKENS}, {self.width})."
            )
        return np.array(found)


def padded(rows: Floats, tokens: int) -> tuple[Floats, Floats]:
    """Rows (1, tokens, width) with zeros behind the sentence, and which of them are its own, (1, tokens) of 1 or 0.

    Raises:
        LanguageError: the sentence is longer.
    """
    if len(rows) > tokens:
        raise LanguageError(f"A sentence has {len(rows)} tokens; the policy takes at most {tokens}.")
    more = tokens - len(rows)
    found = np.pad(rows, ((0, more), (0, 0)))[None]
    return found, np.repeat(np.array([1, 0], np.float32), [len(rows), more])[None]


def write_embeddings(folder: Path, encoder: str, sentences: Mapping[str, Floats]) -> None:
    """Write sentences into a folder, beside those that are there; the manifest last, so that it names whole files only.

    Args:
        folder: made if it is missing.
        encoder: its name and a digest of its weights.
        sentences: rows (tokens, width) by text.

    Raises:
        LanguageError: the folder has those of another encoder, or widths differ.
        OutputError: it cannot be written.
    """
    make_folder(folder)
    there = Embeddings(folder) if (folder / MANIFEST).exists() else None
    widths = {rows.shape[1] for rows in sentences.values()} | ({there.width} if there else set())
    if there is not None and there.encoder != encoder:
        raise LanguageError(f"{folder} has sentences of {there.encoder}, not of {encoder}; give another folder.")
    if len(widths) != 1:
        raise LanguageError(f"Sentences of widths {sorted(widths)} cannot be in one folder.")
    keys = {_key(encoder, text): text for text in sentences}
    for key, text in keys.items():
        with whole_file(folder / f"{key}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, sentences[text].astype(np.float32), allow_pickle=False)
    said = {
        "version": _VERSION,
        "encoder": encoder,
        "width": widths.pop(),
        "sentences": {**(there.sentences if there else {}), **keys},
    }
    write_whole(folder / MANIFEST, (json.dumps(said, indent=2, sort_keys=True) + "\n").encode())
