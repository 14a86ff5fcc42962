"""One policy, four ways to compute it here: torch, ONNX Runtime, and the compiled program on `sim` or `rtl`.

The same preprocessor, seeds and chunks on all of them. Not here: what all runners share (`runner.py`), a server's
(`server_runner.py`), the worlds it acts in (`rollout.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.keys import Sample
from vla_isa.errors import VlaError
from vla_models.errors import PolicyError
from vla_models.policy import GraphSpec, Preprocessor, history_of
from vla_models.registry import POLICIES, find_policy
from vla_models.saved import load_preprocessor
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import RunnerSpec, ServerSpec
from vla_training.evaluate.graph_calls import GraphRun, calls_of, chained
from vla_training.evaluate.onnx_files import OnnxFile, onnx_calls
from vla_training.evaluate.runner import Runner
from vla_training.evaluate.same_policy import entry_of_policy, refuse_another

__all__ = ["Compute", "NetworkRunner", "circuits_runner", "make_runner", "module_compute", "network_runner"]

Inputs = Mapping[str, npt.NDArray[Any]]
Outputs = Mapping[str, npt.NDArray[Any]]
Compute = Callable[[Inputs], Outputs]  # N inputs on axis 0 -> N outputs on axis 0

_TASK_MASKS = "vlac.task_masks"  # key of a model's metadata; "input" there: its gates are nowhere else
_ROWS = 16  # that torch always computes at once: what it rounds depends on their number


class NetworkRunner(Runner):
    """A network, and a preprocessor for each slot.

    Args:
        compute: the network, N inputs at a time.
        preprocessor: makes one.
        cycles: what the last call took on the device, where there is one; of each of the N inputs, where they differ.
    """

    def __init__(
        self,
        compute: Compute,
        preprocessor: Callable[[], Preprocessor],
        cycles: Callable[[], int | Sequence[int] | None] = lambda: None,
    ) -> None:
        super().__init__()
        self._compute, self._make, self._cycles = compute, preprocessor, cycles
        made = preprocessor()
        self.history, self.frequency = history_of(made), getattr(made, "frequency", None)
        self.watch: Callable[[Inputs], None] = lambda inputs: None  # called with what the network gets
        self.heard: Callable[[Outputs], None] = lambda outputs: None  # and with what it gives
        self._preprocessors: dict[int, Preprocessor] = {}
        self._counted: dict[int, int | None] = {}  # by slot, of its last call
        self._longest: int | None = None

    def begin(self, slot: int, task: str, seed: int) -> None:
        """The preprocessor forgets the last episode."""
        self._preprocessors.setdefault(slot, self._make()).reset(task, seed)

    def ask(self, observations: Mapping[int, Sample]) -> dict[int, npt.NDArray[Any]]:
        """The network runs once, for all slots."""
        inputs = [self._preprocessors[slot].inputs(observation) for slot, observation in observations.items()]
        joined = {name: np.concatenate([i[name] for i in inputs]) for name in inputs[0]}
        self.watch(joined)
        outputs = self._compute(joined)
        self.heard(outputs)
        self._count(list(observations), self._cycles())
        return {
            slot: self._preprocessors[slot].actions({name: v[row : row + 1] for name, v in outputs.items()})
            for row, slot in enumerate(observations)
        }

    def correct(self, slot: int, action: Any) -> None:
        """The preprocessor hears of it, where it remembers actions."""
        super().correct(slot, action)
        told = getattr(self._preprocessors[slot], "correct", None)
        if told is not None:
            told(action)

    def cycles(self) -> int | None:
        """Of the longest call on the device, where there is one and it was called."""
        return self._longest

    def cycles_of(self, slot: int) -> int | None:
        """Of a slot's last call on the device."""
        return self._counted.get(slot)

    def _count(self, slots: Sequence[int], cycles: int | Sequence[int] | None) -> None:
        each = cycles if isinstance(cycles, Sequence) else [cycles] * len(slots)
        self._counted |= dict(zip(slots, each, strict=True))
        self._longest = max((c for c in (self._longest, *each) if c is not None), default=None)


def make_runner(spec: RunnerSpec | ServerSpec) -> Runner:
    """The policy on its backend, single-threaded (evaluation runs one process per core), or the server that has it.

    Raises:
        EvaluationError: unknown backend, no such file, not the backend's, or not of the policy; no such server.
        VlaError: the file is damaged.
    """
    if isinstance(spec, ServerSpec):
        from vla_training.evaluate.server_runner import ServerRunner

        return ServerRunner(spec)
    return network_runner(spec)


def network_runner(spec: RunnerSpec) -> NetworkRunner:
    """Load the policy on its backend.

    Raises:
        EvaluationError: unknown backend, no such file, not the backend's, or not of the policy.
        VlaError: the file is damaged.
    """
    spec.check()
    if spec.backend == "float":
        return _float_runner(spec.path)
    if spec.backend == "onnx":
        return _onnx_runner(spec)
    return _program_runner(spec)


def module_compute(policy: Any, calls: Sequence[str] = ()) -> Compute:
    """A policy of torch, in evaluation mode. Rows are added to make a whole number of calls of `_ROWS`, so that a
    row's result does not depend on how many episodes are played at a time.

    Args:
        policy: of the registry.
        calls: of its graphs, for one observation; none where it has one graph.
    """
    device = next(policy.parameters()).device
    graphs = {graph.name: graph for graph in policy.graphs()}
    if not calls:
        (graph,) = graphs.values()
        return _graph_compute(graph, device)
    made = {
        name: GraphRun(_graph_compute(graph, device), tuple(graph.inputs()), graph.carries)
        for name, graph in graphs.items()
    }
    return chained(made, calls)


def _graph_compute(graph: GraphSpec, device: Any) -> Compute:
    import torch

    def run(inputs: Inputs) -> Outputs:
        count = len(next(iter(inputs.values())))
        rows = np.minimum(np.arange(-(-count // _ROWS) * _ROWS), count - 1)
        found: list[tuple[npt.NDArray[Any], ...]] = []
        with torch.no_grad():
            for part in rows.reshape(-1, _ROWS):
                returned = graph.module(*(torch.from_numpy(values[part]).to(device) for values in inputs.values()))
                tensors = (returned,) if isinstance(returned, torch.Tensor) else returned
                found.append(tuple(t.float().cpu().numpy() for t in tensors))
        whole = (np.concatenate(parts)[:count] for parts in zip(*found, strict=True))
        return dict(zip(graph.outputs, whole, strict=True))

    return run


def _float_runner(path: Path) -> NetworkRunner:
    import torch

    from vla_models.saved import load_policy
    from vla_training.checkpoint import pretrained_folder

    torch.set_num_threads(1)
    folder = pretrained_folder(path)
    calls = calls_of(load_preprocessor(folder))
    return NetworkRunner(module_compute(load_policy(folder), calls), lambda: load_preprocessor(folder))


def _onnx_runner(spec: RunnerSpec) -> NetworkRunner:
    if spec.policy:
        make = _named(spec.policy)
        if calls := calls_of(make()):
            return NetworkRunner(onnx_calls(spec, calls), make)
    network = OnnxFile(spec.path)
    if "input" in json.loads(network.metadata.get(_TASK_MASKS, "{}")):
        raise EvaluationError(f"{spec.path} is a policy without its gates; evaluate its program, or the saved policy.")
    make = _preprocessor(spec, network.inputs, network.outputs)
    refuse_another(spec, network.policies)
    return NetworkRunner(network.run, make)


def _program_runner(spec: RunnerSpec) -> NetworkRunner:
    import vlarun

    session: Any = vlarun.open_session(str(spec.path), backend=spec.backend)
    if isinstance(session, vlarun.Session) and spec.policy:
        make = _named(spec.policy)
        if calls := calls_of(make()):
            return _program_calls(spec, session, make, calls)
    # the model's own: the device's are others where the host computes the model's first or last nodes
    said = session.program.policies if isinstance(session, vlarun.Session) else {}
    entry = entry_of_policy(spec, said)
    made = session.at(entry).model_outputs if isinstance(session, vlarun.Session) else session.package.outputs
    wanted, optional = session.wanted_inputs(entry=entry) if entry else session.wanted_inputs()
    make = _preprocessor(spec, [t.name for t in wanted], [t.name for t in made], optional)
    refuse_another(spec, said if entry is None else {})
    if isinstance(session, vlarun.Session) and session.program.tasks is not None:
        return circuits_runner(spec, session, make)
    of_policy = {"entry": entry} if entry else {}
    runner = NetworkRunner(lambda inputs: session.run(dict(inputs), **of_policy), make, lambda: session.cycles)
    runner.computes_on_host = not isinstance(session, vlarun.Session)
    return runner


def circuits_runner(spec: RunnerSpec, session: Any, make: Callable[[], Preprocessor]) -> NetworkRunner:
    """A program with an entry point for each circuit, which the policy chooses for each observation."""
    from vlarun.calls import choose_entry

    preprocessor, counted = make(), list[int]()  # cycles of each of the last observations
    try:
        choose = choose_entry(session, preprocessor)
    except VlaError as error:
        raise EvaluationError(f"{spec.path} and policy '{spec.policy}': {error}.") from error

    def run(inputs: Inputs) -> Outputs:
        rows = []
        counted.clear()
        for row in range(len(next(iter(inputs.values())))):
            frame = {name: values[row : row + 1] for name, values in inputs.items()}
            rows.append(session.run(frame, entry=choose(frame)))
            counted.append(session.cycles)
        return {name: np.concatenate([each[name] for each in rows]) for name in rows[0]}

    return NetworkRunner(run, make, lambda: counted)


def _program_calls(
    spec: RunnerSpec, session: Any, make: Callable[[], Preprocessor], entries: Sequence[str]
) -> NetworkRunner:
    """A program with an entry point for each of the policy's graphs; state stays on the device from call to call."""
    from vlarun.calls import plan_calls

    made = make()
    try:
        calls = plan_calls(session, entries, made.input_names, made.output_names)
    except VlaError as error:
        raise EvaluationError(f"{spec.path} and policy '{spec.policy}': {error}.") from error
    refuse_another(spec, {name: policy for name, policy in session.program.policies.items() if name in entries})
    counted: list[int] = []  # cycles of the calls of each of the last observations

    def run(inputs: Inputs) -> Outputs:
        rows = []
        counted.clear()
        for row in range(len(next(iter(inputs.values())))):
            found: dict[str, npt.NDArray[Any]] = {}
            counted.append(0)
            for call in calls:
                found |= session.run({name: inputs[name][row : row + 1] for name in call.given}, entry=call.entry)
                counted[-1] += session.cycles
            rows.append(found)
        return {name: np.concatenate([each[name] for each in rows]) for name in rows[0]}

    return NetworkRunner(run, make, lambda: counted)


def _preprocessor(
    spec: RunnerSpec, inputs: Sequence[str], outputs: Sequence[str], optional: Collection[str] = ()
) -> Callable[[], Preprocessor]:
    """The preprocessor of the file's policy; refuses a file whose tensors it does not make and read.

    Inputs that may be left out, such as the number of a loop's round, need not be made.
    """

    def fits(made: Preprocessor) -> bool:
        needed = set(inputs) - set(optional)
        return needed <= set(made.input_names) <= set(inputs) and set(made.output_names) <= set(outputs)

    has = f"{spec.path} takes {', '.join(inputs)} and gives {', '.join(outputs)}"
    if spec.policy:
        make = _named(spec.policy)
        if not fits(found := make()):
            raise EvaluationError(
                f"{has}; policy '{spec.policy}' makes {', '.join(found.input_names)} and reads "
                f"{', '.join(found.output_names)}."
            )
        return make
    makers = {p.preprocessor: p for p in POLICIES if fits(p.preprocessor(p.configured({})))}
    if len(makers) != 1:
        problem = "no registered policy does" if not makers else "more than one registered policy does"
        raise EvaluationError(f"{has}; {problem}. Give its run or name with --policy.")
    (chosen,) = makers.values()
    try:
        chosen.preprocessor_by_name()
    except PolicyError as error:
        raise EvaluationError(f"{has}; {error}") from error
    return chosen.preprocessor_by_name


def _named(policy: str) -> Callable[[], Preprocessor]:
    if Path(policy).is_dir():
        from vla_training.checkpoint import pretrained_folder

        folder = pretrained_folder(Path(policy))
        return lambda: load_preprocessor(folder)
    spec = find_policy(policy)
    spec.preprocessor_by_name()  # what is wrong with it is said now
    return spec.preprocessor_by_name
