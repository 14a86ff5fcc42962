"""Exported graphs on ONNX Runtime: one, or those of a policy of several, which say themselves what they hand on.

Not here: preprocessors (`runners.py`), the order of calls (`graph_calls.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_isa.errors import VlaError
from vla_models.weights_id import POLICY
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import RunnerSpec, graph_file
from vla_training.evaluate.graph_calls import Compute, GraphRun, chained
from vla_training.evaluate.same_policy import refuse_another

__all__ = ["OnnxFile", "onnx_calls"]

Arrays = Mapping[str, npt.NDArray[Any]]


class OnnxFile:
    """A model of batch 1, on one thread.

    Raises:
        EvaluationError: ONNX Runtime cannot load it.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises its own classes, without a common base
            raise EvaluationError(f"{path} is no ONNX model that ONNX Runtime can load: {error}") from error
        self._path = path
        self.inputs = [value.name for value in self._session.get_inputs()]
        self.outputs = [value.name for value in self._session.get_outputs()]

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    @property
    def policies(self) -> dict[str, str]:
        """The file's name -> digest of the weights of the policy that it is of, where it says so."""
        said = self.metadata.get(POLICY)
        return {} if said is None else {self._path.name: said}

    def run(self, inputs: Arrays) -> Arrays:
        """N inputs on axis 0 -> N outputs on axis 0, one run each.

        Raises:
            EvaluationError: the model does not take them.
        """
        count = len(next(iter(inputs.values())))
        try:
            found = [
                self._session.run(self.outputs, {n: v[row : row + 1] for n, v in inputs.items()})
                for row in range(count)
            ]
        except Exception as error:  # see above
            shapes = ", ".join(f"{n} {v.dtype} {[1, *v.shape[1:]]}" for n, v in inputs.items())
            raise EvaluationError(f"{self._path} does not take what its policy makes, {shapes}: {error}") from error
        return {name: np.concatenate(parts) for name, parts in zip(self.outputs, zip(*found, strict=True), strict=True)}


def onnx_calls(spec: RunnerSpec, calls: Sequence[str]) -> Compute:
    """The graphs of a policy, `model-<graph>.onnx` for a path `model.onnx`, as one network.

    Raises:
        EvaluationError: a file is missing or damaged, or says that it hands on what is not there.
    """
    from vlac.model.policy_graphs import said_carries

    paths = {name: graph_file(spec.path, name) for name in dict.fromkeys(calls)}
    absent = [name for name, path in paths.items() if not path.exists()]
    if absent:
        raise EvaluationError(
            f"{paths[absent[0]]} does not exist, and policy '{spec.policy}' calls '{absent[0]}'; export it again, and "
            f"give {spec.path.name} for its graphs {', '.join(path.name for path in paths.values())}."
        )
    files = {name: OnnxFile(path) for name, path in paths.items()}
    for file in files.values():
        refuse_another(spec, file.policies)
    try:
        pairs = said_carries({name: file.metadata for name, file in files.items()})
    except VlaError as error:
        raise EvaluationError(f"{spec.path}: {error}") from error
    carries: dict[str, dict[str, str]] = {name: {} for name in files}
    for given, made in pairs:
        (reader, taken), (entry, output) = given.split(":", 1), made.split(":", 1)
        if output not in files[entry].outputs or taken not in files[reader].inputs:
            raise EvaluationError(
                f"{paths[entry]} hands '{output}' to '{reader}.{taken}'; it makes {', '.join(files[entry].outputs)}, "
                f"and '{reader}' takes {', '.join(files[reader].inputs)}."
            )
        carries[entry][output] = f"{reader}.{taken}"
    runs = {name: GraphRun(file.run, tuple(file.inputs), carries[name]) for name, file in files.items()}
    return chained(runs, calls)
