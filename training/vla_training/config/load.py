"""Read a training run from a TOML file and the command line; tyro checks every value against its type.

The keys of the file and the options of the command line are the same: `learning_rate` and `--learning-rate`,
`policy_options = { hidden = 16 }` and `--policy-options.hidden 16`. The command line wins.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from vla_isa.documents import read_toml
from vla_isa.errors import did_you_mean
from vla_models.registry import find_policy
from vla_training.config.run import TrainConfig
from vla_training.errors import TrainConfigError
from vla_training.objectives.registry import find_objective

__all__ = ["config_help", "config_names", "load_config"]

Config = TrainConfig[Any, Any]
_FOLDER = Path(__file__).parent


def config_names() -> list[str]:
    """Names of the configurations that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_config(name_or_path: str, overrides: Sequence[str] = ()) -> Config:
    """Read a packaged configuration by name, or any TOML file by path.

    Args:
        name_or_path: for example `goto_obj` or `my_run.toml`.
        overrides: options of a command line, such as `--steps 5`; they come after the file's keys.

    Raises:
        TrainConfigError: no such configuration, not TOML, or a key is unknown, missing or of the wrong type.
        PolicyError: the policy is unknown, or an option of it is out of range.
    """
    path, values = _read(name_or_path)
    _check_keys(values, path.name)
    return _parse(values, [*_arguments(values), *overrides], path.name)


def config_help(name_or_path: str) -> str:
    """Every key as an option of the command line, with its meaning and its value in a configuration."""
    path, values = _read(name_or_path)
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
        import tyro

        default = _parse(values, list(_arguments(values)), path.name)
        tyro.cli(_kind(values, []), args=["--help"], default=default, prog="vla-train train", description="")
    return shown.getvalue()


def _read(name_or_path: str) -> tuple[Path, Mapping[str, Any]]:
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = _FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        hint = did_you_mean(name_or_path, config_names(), f"Known: {', '.join(config_names())}.")
        raise TrainConfigError(f"No training configuration '{name_or_path}'.{hint}")
    try:
        return path, read_toml(path)
    except ValueError as error:
        raise TrainConfigError(f"{path}: not TOML: {error}.") from error


def _check_keys(values: Mapping[str, Any], where: str) -> None:
    known = [f.name for f in fields(TrainConfig)]
    for key in values:
        if key not in known:
            raise TrainConfigError(f"{where}: unknown key '{key}'.{did_you_mean(key, known, f'Known: {known}.')}")


def _arguments(values: Mapping[str, Any], prefix: str = "--") -> Iterator[str]:
    """The keys of a TOML file as a command line."""
    for key, value in values.items():
        option = f"{prefix}{key.replace('_', '-')}"
        if isinstance(value, dict):
            yield from _arguments(value, f"{option}.")
        elif isinstance(value, bool):
            yield option if value else re.sub(r"([\w-]+)$", r"no-\1", option)
        else:
            yield option
            yield from map(str, value if isinstance(value, list) else [value])


def _kind(values: Mapping[str, Any], arguments: Sequence[str]) -> Any:
    """`TrainConfig` of the chosen policy and objective: their own options are keys like the rest."""
    chosen = dict(values)
    arguments = [part for argument in arguments for part in argument.split("=", 1)]
    for option, value in itertools.pairwise(arguments):
        if option in ("--policy", "--objective"):
            chosen[option[2:]] = value
    missing = [name for name in ("policy", "objective") if name not in chosen]
    if missing:
        raise TrainConfigError(f"{', '.join(missing)} must be given.")
    return TrainConfig[find_policy(str(chosen["policy"])).config, find_objective(str(chosen["objective"])).make]  # type: ignore[misc]


def _parse(values: Mapping[str, Any], arguments: Sequence[str], where: str) -> Config:
    import tyro

    kind = _kind(values, arguments)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=arguments, prog="vla-train train", add_help=False)
    except SystemExit:
        raise TrainConfigError(f"{where}: {_one_line(said.getvalue())}") from None


def _one_line(said: str) -> str:
    """tyro's message without its frame, in one line."""
    lines = [re.sub(r"[╭╮╰╯│─]", " ", line).strip() for line in said.splitlines()]
    kept = [line for line in lines if re.search(r"\w", line)]
    text = " ".join(kept)
    text = re.split(r" ?(?:Argument helptext|For full helptext)", text)[0]
    return re.sub(r"\s+", " ", text).strip()
