"""The ways to compute a policy, by name: what file each of them reads, or which server has it.

Not here: running one (`runners.py`, `server_runner.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vla_training.errors import EvaluationError

__all__ = ["BACKENDS", "HOST_BACKENDS", "RunnerSpec", "ServerSpec", "graph_file", "natural_backend"]

HOST_BACKENDS = ("float", "onnx")
BACKENDS = (*HOST_BACKENDS, "sim", "rtl")
_FILES = {"float": "the folder of a run or of a saved policy", "onnx": "an ONNX file", "sim": "a program of vlac"}


@dataclass(frozen=True)
class RunnerSpec:
    """What to run: `path` is a run or saved policy (`float`), model.onnx (`onnx`) or prog.bin.

    Of a policy of several graphs model.onnx stands for model-<graph>.onnx of each.
    `policy` says whose preprocessor fits: a run, a saved policy, or the name of a registered one whose preprocessor
    takes no options. Empty: `path` itself, or such a registered policy whose tensors have the file's names. A spec,
    unlike a runner, can be sent to another process.
    """

    backend: str
    path: Path
    policy: str = ""

    def check(self) -> None:
        """Refuse what cannot be the backend's file, without reading it.

        Raises:
            EvaluationError: unknown backend, nothing there, a folder for a file, or a policy that would not be used.
        """
        if self.backend not in BACKENDS:
            raise EvaluationError(f"Unknown backend '{self.backend}'; use one of {', '.join(BACKENDS)}.")
        if not (self.path.exists() or self._is_of_graphs()):
            raise EvaluationError(f"{self.path} does not exist, so backend '{self.backend}' cannot run it.")
        fitting = natural_backend(self.path)
        if self.path.is_dir() != (self.backend == "float") or {self.backend, fitting} == {"onnx", "sim"}:
            raise EvaluationError(
                f"Backend '{self.backend}' takes {_FILES.get(self.backend, _FILES['sim'])}, and {self.path} "
                f"{'is a folder' if self.path.is_dir() else 'is none'}; use --backend {fitting}, or give another path."
            )
        if self.backend == "float" and self.policy:
            raise EvaluationError(f"--policy is for a file; {self.path} is a policy itself.")

    def _is_of_graphs(self) -> bool:
        """Whether the path stands for the files of several graphs; one without a policy stands for itself."""
        if not self.policy or self.backend != "onnx" or not self.path.parent.is_dir():
            return False
        start, end = f"{self.path.stem}-", self.path.suffix
        return any(p.name.startswith(start) and p.suffix == end == ".onnx" for p in self.path.parent.iterdir())


@dataclass(frozen=True)
class ServerSpec:
    """A server that speaks openpi's protocol, such as `vlarun serve PROGRAM --policy FOLDER`, at HOST:PORT."""

    address: str
    api_key: str = ""
    backend: str = field(default="server", init=False)

    @property
    def url(self) -> str:
        """Of its websocket.

        Raises:
            EvaluationError: the address is none.
        """
        host, _, port = self.address.rpartition(":")
        if not host or "/" in host or not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
            raise EvaluationError(f"--server is '{self.address}'; give HOST:PORT, such as 127.0.0.1:8000.")
        return f"ws://{host}:{port}"


def natural_backend(path: Path) -> str:
    """The backend that reads this: `float` for a folder, `onnx` for an ONNX file, otherwise `sim`."""
    if path.is_dir():
        return "float"
    return "onnx" if path.suffix == ".onnx" else "sim"


def graph_file(path: Path, graph: str) -> Path:
    """Where `vla-train export` writes one of several graphs, of the path that stands for all."""
    return path.with_stem(f"{path.stem}-{graph}")
