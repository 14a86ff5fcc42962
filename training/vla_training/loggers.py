"""Where the training loop's numbers go: a JSONL file always, TensorBoard when it is installed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from vla_isa.files import whole_file

__all__ = ["JsonlLogger", "Logger", "TensorBoardLogger", "make_loggers", "read_log"]


class Logger(Protocol):
    """Receives named numbers with their step."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Record `values` of step `step`."""

    def close(self) -> None:
        """Flush and free."""


class JsonlLogger:
    """One JSON object per line. On resume, lines after the resumed step are dropped: they will come again."""

    def __init__(self, path: Path, resumed_step: int = 0) -> None:
        kept = [entry for entry in read_log(path) if entry["step"] <= resumed_step] if path.exists() else []
        with whole_file(path) as temporary:
            temporary.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoardLogger:
    """Event files for `tensorboard --logdir`."""

    def __init__(self, folder: Path, resumed_step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=resumed_step + 1 if resumed_step else None)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add one scalar per value."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush the events."""
        self._writer.close()


def make_loggers(folder: Path, resumed_step: int) -> list[Logger]:
    """The loggers of a run: `train.jsonl`, and `tensorboard/` if the package is there."""
    loggers: list[Logger] = [JsonlLogger(folder / "train.jsonl", resumed_step)]
    with contextlib.suppress(ImportError):  # optional: the JSONL file has the same numbers
        loggers.append(TensorBoardLogger(folder / "tensorboard", resumed_step))
    return loggers


def read_log(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a JSONL log: a run that was killed, or a disk, may have left others."""
    entries = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and isinstance(entry.get("step"), int):
            entries.append(entry)
    return entries
