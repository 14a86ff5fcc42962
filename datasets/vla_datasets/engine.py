"""Where independent tasks run: in this process, in others on this machine, or on a Ray cluster.

Tasks share files by path, so the machines of a cluster need one file system. Not here: what the tasks are.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from vla_datasets.errors import CollectError
from vla_isa.worker_pool import WorkerPool

__all__ = ["ALONE", "ENGINES", "Engine"]

ENGINES = ("processes", "ray")
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Engine:
    """How tasks are run: `processes` on this machine, or `ray` (a running cluster, or a local one made for the call).

    Each worker computes on one thread: more would fight over the cores that the other workers use.
    """

    workers: int = 1
    name: str = "processes"

    def check(self) -> None:
        """Refuse an engine that is not installed.

        Raises:
            CollectError: what is missing.
        """
        if self.name == "ray":
            _ray()

    def run(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """Call `function(*task)` for every task; yields (number of the task, result) as they are done.

        Raises:
            CollectError: Ray is not installed, or a process was killed.
            Exception: the first that a task raises; what has not begun is given up.
        """
        if self.name == "ray":
            yield from self._ray(function, tasks)
        elif self.workers <= 1 or len(tasks) <= 1:
            for number, task in enumerate(tasks):
                yield number, function(*task)
        else:
            with _environment(_ONE_THREAD), WorkerPool(min(self.workers, len(tasks))) as pool:
                futures = {pool.submit(function, *task): number for number, task in enumerate(tasks)}
                for future in as_completed(futures):
                    try:
                        result = future.result()
                    except BrokenProcessPool as error:
                        raise CollectError(
                            "a worker process was killed, by the system for want of memory or by somebody; use fewer "
                            "--workers"
                        ) from error
                    yield futures[future], result

    def _ray(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        ray = _ray()
        mine = not ray.is_initialized()
        if mine:  # Ray gives each worker as many threads as it has cores: one
            local: dict[str, Any] = (
                {} if "RAY_ADDRESS" in os.environ else {"num_cpus": self.workers, "include_dashboard": False}
            )
            ray.init(log_to_driver=False, logging_level="WARNING", **local)
        try:
            remote = ray.remote(num_cpus=1)(function)
            waiting = {remote.remote(*task): number for number, task in enumerate(tasks)}
            while waiting:
                done, _ = ray.wait(list(waiting))
                for reference in done:
                    yield waiting.pop(reference), _result(ray, reference)
        finally:
            if mine:
                ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise CollectError(
            "--engine ray needs the package 'ray', which is not installed; pip install 'vla-toolchain[dist]'"
        ) from error
    return ray


ALONE = Engine()  # everything in this process


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None  # what the task raised, without the worker's stack


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for processes that start while the block runs."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
