"""Skip work that is already done: a stage runs again only if its inputs, its code or its outputs changed."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vla_datasets.files import write_json
from vla_isa.documents import read_json
from vla_training.errors import EvaluationError

__all__ = ["MACHINES", "PREPARES", "StageLog", "file_names", "package_digest", "path_digest"]

PREPARES = ("vla_datasets", "vla_models", "vla_training")  # code that makes a policy's inputs, and plays
MACHINES = ("vlarun", "vla_isa")
_SOURCE_SUFFIXES = (".py", ".toml", ".v", ".vh", ".sv", ".cpp", ".h")


class StageLog:
    """Remembers, in one JSON file per stage, what went in and what came out."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self.seconds: dict[str, float] = {}  # per stage, measured when it really ran

    def run(self, name: str, inputs: Mapping[str, Any], outputs: Sequence[Path], action: Callable[[], None]) -> None:
        """Run `action` unless the stage `name` already turned these inputs into these outputs.

        Args:
            name: of the stage, and of its file.
            inputs: JSON values, or paths whose bytes count.
            outputs: files or folders that `action` writes.
            action: does the work; an exception leaves the stage undone.
        """
        record = self._folder / f"{name}.json"
        digest = _inputs_digest(inputs)
        before = _read(record)
        seconds = before.get("seconds")
        same = before.get("inputs") == digest and before.get("outputs") == _outputs_digest(outputs)
        if same and isinstance(seconds, int | float):
            self.seconds[name] = float(seconds)
            self._say(f"{name}: unchanged, took {self.seconds[name]:.1f} s")
            return
        record.unlink(missing_ok=True)
        self._say(f"{name} ...")
        started = time.perf_counter()
        action()
        self.seconds[name] = time.perf_counter() - started
        written = {
            "inputs": digest,
            "outputs": _outputs_digest(outputs),
            "seconds": round(self.seconds[name], 3),
        }
        write_json(record, written)
        self._say(f"{name}: {self.seconds[name]:.1f} s")


def file_names(configs: Sequence[str]) -> dict[str, str]:
    """What files of each hardware config are called, which may be the path of a TOML file.

    Raises:
        EvaluationError: two would be called the same.
    """
    found = {config: Path(config).stem for config in configs}
    names = [Path(config).stem for config in configs]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise EvaluationError(f"--hardware names '{twice[0]}' more than once.")
    return found


def path_digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files; empty if there is nothing.

    Names that begin with a dot do not count: they are caches, which readers of a data set leave in it.
    """
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if not path.is_dir():
        return ""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path)
        if file.is_file() and not any(part.startswith(".") for part in name.parts):
            digest.update(str(name).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def package_digest(*packages: str) -> str:
    """SHA-256 of the sources of installed packages, and of `rtl/` beside them in a checkout."""
    digest = hashlib.sha256()
    for package in packages:
        specification = importlib.util.find_spec(package)
        for location in (specification.submodule_search_locations or []) if specification else []:
            root = Path(location)
            folders = [root, *([root.parents[1] / "rtl"] if package == "vlarun" else [])]
            for folder in folders:
                for file in sorted(folder.rglob("*")):
                    if file.suffix in _SOURCE_SUFFIXES and file.is_file():
                        digest.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return digest.hexdigest()


def _inputs_digest(inputs: Mapping[str, Any]) -> str:
    values = {key: path_digest(v) if isinstance(v, Path) else v for key, v in inputs.items()}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _outputs_digest(outputs: Sequence[Path]) -> dict[str, str]:
    return {path.name: path_digest(path) for path in outputs}


def _read(record: Path) -> dict[str, Any]:
    try:
        stored = read_json(record)
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}
