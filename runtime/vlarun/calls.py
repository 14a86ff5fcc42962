"""Which entry points run for one observation: several one after another, and what each is given, or one of circuits.

What a call before left on the device stays there. Not here: state itself (`session.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlarun.errors import InputError
from vlarun.session import Session

__all__ = ["Call", "Chooser", "choose_entry", "plan_calls"]

Chooser = Callable[[Mapping[str, Any]], str]  # an observation's inputs -> the entry point that runs


@dataclass(frozen=True)
class Call:
    """One run: its entry point, and the names of the inputs that it is given."""

    entry: str
    given: tuple[str, ...]


def plan_calls(
    session: Session, entries: Sequence[str], made: Collection[str], read: Collection[str] = ()
) -> list[Call]:
    """The calls of an observation.

    Args:
        session: of a program with these entry points.
        entries: in the order in which they run.
        made: names of the inputs that the caller has; one that an earlier call leaves is not given again.
        read: names of the outputs that the caller needs.

    Raises:
        InputError: there is no such entry point, it takes what nobody makes before it runs, no call takes what the
            caller has, or none makes what it needs.
    """
    missing = [name for name in entries if name not in session.program.entries]
    if missing:
        raise InputError(
            f"the program has no entry point '{missing[0]}', which the policy calls; it has "
            f"{', '.join(session.program.entries)}. Compile NAME=FILE.onnx for each graph"
        )
    calls: list[Call] = []
    lines: set[int] = set()  # where the calls before left something: several graphs may leave one state
    taken: set[str] = set()
    for name in entries:
        wanted, _ = session.wanted_inputs(entry=name)
        program = session.at(name)
        left = {c.model_input for c in program.carried if c.line in lines}
        given = tuple(value.name for value in wanted if value.name not in left and value.name in made)
        absent = {value.name for value in wanted} - left - set(given) - program.model.unused
        if absent:
            raise InputError(f"entry point '{name}' takes '{min(absent)}', which nothing makes before it runs")
        calls.append(Call(name, given))
        lines |= {tensor.line for tensor in program.outputs}
        taken |= {value.name for value in wanted}
    if unknown := set(made) - taken:
        raise InputError(f"the policy makes '{min(unknown)}', which none of {', '.join(dict.fromkeys(entries))} takes")
    if absent := set(read) - {value.name for name in entries for value in session.at(name).model_outputs}:
        raise InputError(f"the policy reads '{min(absent)}', which none of {', '.join(dict.fromkeys(entries))} makes")
    return calls


def choose_entry(session: Session, preprocessor: Any) -> Chooser:
    """How the policy of a program of tasks says which one runs.

    Args:
        session: of a program with tasks.
        preprocessor: of the policy; its `entry(inputs)` names the task.

    Raises:
        InputError: it says none, so that nobody knows which task a run is for.
    """
    entry = getattr(preprocessor, "entry", lambda inputs: None)
    tasks = ", ".join(session.program.entries)
    nothing = f"the program has tasks ({tasks}), and the policy chooses none; give the folder it was made from"
    if not hasattr(preprocessor, "entry"):
        raise InputError(nothing)

    def choose(inputs: Mapping[str, Any]) -> str:
        name = entry(inputs)
        if name is None:
            raise InputError(nothing)
        if name not in session.program.entries:
            raise InputError(f"the policy's entry point is {name!r:.60}, and the program has {tasks}; compile it again")
        return str(name)

    return choose
