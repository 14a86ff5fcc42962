"""What every command line of the project shares: parsers, messages, exit codes, and a clean end at Ctrl-C.

Exit codes: 0 fine, 1 refused with a reason, 2 bad usage, 130 stopped by Ctrl-C, 141 the reader of the output is gone.
Messages go to standard error, and no user's mistake ends in a traceback. Commands name the function that does the
work by module, and it is imported when it runs: help is fast, and a missing extra is a message.

Not here: what the commands are (`cli.py` of a package, or `vla_toolchain`) and do (`commands.py` of each package).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from vla_isa import __version__
from vla_isa.errors import BadUsageError, VlaError, did_you_mean

__all__ = ["CommandParser", "not_negative", "positive", "run"]

_MOMENT = 0.02  # seconds until an interrupt is tried again
_INTERRUPTED, _NO_READER = 130, 141  # 128 + the number of the signal, as a shell reports it


class _HelpFormatter(argparse.HelpFormatter):
    """Every argument's help ends in its default, where it has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help or ""
        shown = action.default not in (None, False, "", argparse.SUPPRESS) and action.option_strings
        return f"{text} (default: %(default)s)" if shown and "default" not in text else text


class CommandParser(argparse.ArgumentParser):
    """An argument parser with --version, options in full only, and sub-commands with a hint at the one meant."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, "formatter_class": _HelpFormatter, **kwargs})
        self.register("type", Path, _path)
        self.add_argument("--version", action="version", version=f"%(prog)s {__version__}", help="print the version")
        self.commands: argparse._SubParsersAction[CommandParser] | None = None

    def add_command(self, name: str, text: str, function: str, **kwargs: Any) -> CommandParser:
        """A sub-command and the parser of its arguments; `function` is `module:name` of what it does."""
        if self.commands is None:
            self.commands = self.add_subparsers(
                dest="command", required=True, metavar="COMMAND", help="each with --help"
            )
        parser = self.commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", **kwargs)
        parser.set_defaults(run=function)
        return parser

    def check_command(self, arguments: Sequence[str]) -> None:
        """Refuse an unknown sub-command; without any argument print the help.

        Raises:
            BadUsageError: what the first argument is not, and what was probably meant.
            SystemExit: there are no arguments.
        """
        if self.commands is None:
            return
        if not arguments:
            self.print_help(sys.stderr)
            raise SystemExit(2)
        first, known = arguments[0], list(self.commands.choices)
        if first.startswith("-") or first in known:
            return
        self.print_usage(sys.stderr)
        hint = did_you_mean(first, known)
        if "compile" in known and first.endswith(".onnx"):
            hint = f" Did you mean '{self.prog} compile {first} -o prog.bin'?"
        raise BadUsageError(f"unknown command '{first}'; there are {', '.join(known)}.{hint}")


def positive(text: str) -> int:
    """An argument that is a count of at least 1."""
    return _whole(text, 1)


def not_negative(text: str) -> int:
    """An argument that is a whole number of at least 0."""
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"{value} is less than {least}")
    return value


def _path(text: str) -> Path:
    """A path; the empty one, of a shell's variable that is not set, would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; give a path")
    return Path(text)


def run(
    make_parser: Callable[[], CommandParser],
    argv: Sequence[str] | None = None,
    *,
    extra: str = "",
    stopped: str = "stopped",
) -> int:
    """Parse the arguments and run what they name; returns the exit code.

    Args:
        argv: the arguments; None for those of the process.
        extra: the extra of the package that the commands need.
        stopped: what is said at Ctrl-C.
    """
    try:
        _open_streams()
        code = _run(make_parser(), list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except SystemExit as e:  # argparse has printed what is wrong, or the help
        return _flushed(e.code if isinstance(e.code, int) else 2)
    except VlaError as e:
        return _refused(str(e), e.exit_code)
    except ModuleNotFoundError as e:
        if not extra or not e.name or e.name.startswith(("vla_", "vlac", "vlarun")):
            raise
        return _refused(
            f"this needs the package '{e.name.partition('.')[0]}', which is not installed; "
            f"pip install 'vla-toolchain[{extra}]'"
        )
    except MemoryError:
        return _refused("out of memory; use a smaller model, less data, or a machine with more memory")
    except KeyboardInterrupt:
        print(f"\n{stopped}" if sys.stderr.isatty() else stopped, file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return _NO_READER
    except OSError as e:
        _drop_output()
        return _refused(f"{e.filename or 'the output'}: {e.strerror or e}")


def _open_streams() -> None:
    """Give a process that was started without standard streams ones that lead nowhere.

    Without them the first file that is opened would be number 1 or 2, and take what a library prints.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _run(parser: CommandParser, arguments: list[str]) -> int:
    parser.check_command(arguments)
    args, rest = parser.parse_known_args(arguments)
    if rest and not hasattr(args, "rest"):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    args.rest = rest  # of a command that takes the options of its config, and looks at them itself
    module, _, function = args.run.partition(":")
    with _interrupted_between_imports():
        command = getattr(importlib.import_module(module), function)
        return int(command(args))


@contextlib.contextmanager
def _interrupted_between_imports() -> Iterator[None]:
    """Let Ctrl-C wait while modules are imported, here or by what a command does later: an exception raised inside an
    import may be swallowed by a library, or come out as another one."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        while frame is not None and frame.f_code is not _run.__code__:  # what imports the command itself may go on
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                again = threading.Timer(_MOMENT, os.kill, (os.getpid(), signum))
                again.daemon = True
                again.start()
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)


def _refused(message: str, code: int = 1) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except OSError as e:
        _drop_output()
        return _NO_READER if isinstance(e, BrokenPipeError) else _refused(f"the output: {e.strerror or e}")
    return code


def _drop_output() -> None:
    """Send what is left of standard output nowhere: python writes it at the end, and would complain again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
