"""`vlarun serve`: a program, and the preprocessor of its policy, behind openpi's websocket protocol and a TCP one.

Not here: the server (`vlarun.serve`), the policies (`vla_models`).
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vla_isa import __version__, package
from vla_isa.errors import BadUsageError, ConfigError, InputError
from vla_isa.program import Program
from vla_models.policy import Preprocessor, history_of
from vla_models.registry import find_policy
from vla_models.saved import load_preprocessor, saved_folder
from vla_models.weights_id import refuse_another
from vlarun.backends import create
from vlarun.calls import Call, Chooser, choose_entry, plan_calls
from vlarun.partitions import PackageSession, open_session
from vlarun.serve.batcher import entry_points, made_outputs
from vlarun.serve.episode import Plain, PolicyFactory
from vlarun.serve.server import Limits, PolicyServer
from vlarun.session import Session

__all__ = ["PolicyEpisode", "read_api_key", "serve", "served_preprocessor"]

TASK = ("prompt", "task")  # where an observation says what to do: openpi's name, and LeRobot's


def serve(args: argparse.Namespace) -> int:
    """vlarun serve."""
    backend = create(args.backend, onnx=args.onnx, library=args.library)
    loaded = package.load(args.program)
    calls = () if args.policy is None else _calls(args.policy)
    if isinstance(loaded, Program) and loaded.others and args.policy is not None and not calls:
        raise BadUsageError(
            f"the program is of several graphs ({', '.join(loaded.entries)}), and --policy knows one; leave it out: "
            "clients send the inputs of a graph by name, and its name as 'entry'"
        )
    if calls and args.entry is not None:
        raise BadUsageError("--entry: the policy says which entry points run; leave it out")

    def opened() -> Session | PackageSession:
        return open_session(loaded, backend, config=args.config)

    first = opened()
    _check_entry(args, first)
    make = Plain if args.policy is None else _policy(args.policy, first)
    if args.entry is not None and make().entry is not None:
        raise BadUsageError("--entry: the policy says which entry point runs; leave it out")
    server = PolicyServer(
        opened,
        make,
        _metadata(args, first),
        Limits(args.max_message << 20, args.clients, args.queue, args.batch, args.timeout, args.idle),
        entry=args.entry,
        api_key="" if args.api_key_file is None else read_api_key(args.api_key_file),
    )
    asyncio.run(server.run(args.host, args.port, lambda *ports: _started(args, *ports), args.tcp))
    print(f"Stopped: {server.metrics.summary()}", flush=True)
    return 0


def _check_entry(args: argparse.Namespace, session: Session | PackageSession) -> None:
    """Refuse an entry point that cannot be had."""
    if args.entry is None:
        return
    if not isinstance(session, Session):
        raise BadUsageError("a program with host partitions has no entry points; leave out --entry")
    if args.backend == "ref":
        raise BadUsageError("--entry is a place in the program; --backend ref runs the whole ONNX model")
    session.program.at(args.entry)


def _started(args: argparse.Namespace, port: int, tcp_port: int | None) -> None:
    where = f"{args.host}:{port}"
    print(f"Serving {args.program} on ws://{where} ({args.backend}).", flush=True)
    if tcp_port is not None:
        print(f"Framed TCP: {args.host}:{tcp_port}.", flush=True)
    print(f"Health: http://{where}/healthz, metrics: http://{where}/metrics; Ctrl-C stops.", flush=True)


def _metadata(args: argparse.Namespace, session: Session | PackageSession) -> dict[str, Any]:
    """What a client gets first: what it may send, and what computes it."""
    found: dict[str, Any] = {
        "server": f"vlarun {__version__}",
        "backend": args.backend,
        "policy": "" if args.policy is None else str(args.policy),
        "host_partitions": 0,
        "history": 1 if args.policy is None else history_of(served_preprocessor(args.policy)()),
        **_described(session, args.entry),
    }
    if isinstance(session, PackageSession):
        found["host_partitions"] = len(session.package.partitions) - len(session.package.programs)
    if len(names := entry_points(session)) > 1:
        found["entries"] = {name: _described(session, name) for name in names}
    return found


def _described(session: Session | PackageSession, entry: str | None) -> dict[str, Any]:
    """Inputs and outputs of an entry point."""
    wanted, optional = session.wanted_inputs(entry=entry)
    return {
        "inputs": {v.name: {"shape": list(v.shape), "dtype": v.dtype, "optional": v.name in optional} for v in wanted},
        "outputs": {v.name: {"shape": list(v.shape), "dtype": v.dtype} for v in made_outputs(session, entry)},
    }


def read_api_key(path: Path) -> str:
    """The one word in the file, for the server and for those who ask it.

    Raises:
        ConfigError: it cannot be read, or holds no word or several.
    """
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the key file '{path}' cannot be read: {error}") from error
    if not key or not key.isprintable() or len(key.split()) != 1:
        raise ConfigError(f"the key file '{path}' holds no key; write one word into it")
    return key


def _policy(name: str, session: Session | PackageSession) -> PolicyFactory:
    """A client's side of the policy in a folder, or of the registered one of that name.

    Raises:
        VlaError: there is none, or its tensors are not the program's.
    """
    make = served_preprocessor(name)
    made, (wanted, optional) = make(), session.wanted_inputs()
    if entries := _calls(name):
        if not isinstance(session, Session):
            raise ConfigError(f"policy '{name}' calls several entry points, and this program has host partitions")
        try:
            calls = plan_calls(session, entries, made.input_names, made.output_names)
        except InputError as error:
            raise ConfigError(f"policy '{name}': {error}") from error
        _refuse_another(name, session, entries)
        return lambda: PolicyEpisode(make(), calls)
    needed = {value.name for value in wanted} - optional
    if not needed <= set(made.input_names) <= {value.name for value in wanted}:
        raise ConfigError(
            f"policy '{name}' makes {', '.join(made.input_names)}, and the program takes "
            f"{', '.join(value.name for value in wanted)}; give the folder that the program was made from"
        )
    if isinstance(session, Session) and session.program.tasks is not None:
        try:
            chooser = choose_entry(session, made)
        except InputError as error:
            raise ConfigError(f"policy '{name}': {error}") from error
        _refuse_another(name, session)
        return lambda: PolicyEpisode(make(), entry=chooser)
    _refuse_another(name, session)
    return lambda: PolicyEpisode(make())


def _refuse_another(name: str, session: Session | PackageSession, entries: Sequence[str] = ()) -> None:
    """Refuse a program of other weights than those of the policy in a folder; of many entry points, these alone."""
    said = session.program.policies if isinstance(session, Session) and Path(name).is_dir() else {}
    asked = {entry: policy for entry, policy in said.items() if not entries or entry in entries}
    refuse_another(saved_folder(Path(name)), asked, "the program")


def _calls(name: str) -> tuple[str, ...]:
    """The entry points that run for one observation; none where the policy has one graph."""
    return tuple(getattr(served_preprocessor(name)(), "calls", ()))


def served_preprocessor(name: str) -> Callable[[], Preprocessor]:
    """What makes the preprocessor of the policy in a folder (see `saved_folder`), or of the registered one called so.

    Raises:
        PolicyError: there is none, or its name does not say enough.
    """
    if Path(name).is_dir():
        folder = saved_folder(Path(name))
        load_preprocessor(folder)  # what is wrong with it is said now
        return lambda: load_preprocessor(folder)
    spec = find_policy(name)
    spec.preprocessor_by_name()
    return spec.preprocessor_by_name


class PolicyEpisode:
    """A policy's preprocessor for one client: the observation's task begins an episode where it is another one."""

    def __init__(self, preprocessor: Preprocessor, calls: Sequence[Call] = (), entry: Chooser | None = None) -> None:
        self._preprocessor, self.calls, self.entry = preprocessor, calls, entry
        self._task: str | None = None

    def begins(self, observation: Mapping[str, Any], reset: bool) -> bool:
        """At the first observation, at another task, and where the client asks for it.

        Raises:
            VlaError: no task, or one that the policy does not know.
        """
        given = next((observation[name] for name in TASK if name in observation), self._task)
        if not isinstance(given, str):
            raise InputError(f"the observation has no task; send a sentence as '{TASK[0]}'")
        if given == self._task and not reset:
            return False
        seed = observation.get("seed", 0)
        if type(seed) is not int or seed < 0:
            raise InputError(f"'seed' is {seed!r:.40}; send a whole number of at least 0, or leave it out")
        self._task = None  # a task that is refused leaves no half-begun episode
        self._preprocessor.reset(given, seed)
        self._task = given
        return True

    def inputs(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """The network's inputs.

        Raises:
            VlaError: the observation lacks something, or has the wrong shape or dtype.
        """
        return dict(self._preprocessor.inputs(observation))

    def reply(self, outputs: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """The actions, (steps, *shape of an action), as openpi's clients read them."""
        return {"actions": self._preprocessor.actions(outputs)}
