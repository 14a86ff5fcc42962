"""For all tests: ONNX Runtime's telemetry is off, whichever package a test imports first; vlac checks every pass."""

import importlib.util
import os

import pytest

import vla_isa  # noqa: F401

os.environ["VLAC_CHECK"] = "1"  # as `vlac compile --check`, also in the commands that tests start


def pytest_addoption(parser: pytest.Parser) -> None:
    """What acceptance runs and the usual run leaves out.

    With more random transformer blocks than the usual ones, all run on the Verilog machine.
    """
    parser.addoption("--random-blocks", type=int, default=30, help="random transformer blocks (acceptance: 300)")
    parser.addoption("--every-exporter", action="store_true", help="each spelling from each exporter and opset")
    parser.addoption("--every-shape", action="store_true", help="the cycles of the largest published shapes, too")
    parser.addoption("--every-line", action="store_true", help="measure the line coverage of the RTL again")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only an option asks for, which its marker is called after."""
    options = ("every_exporter", "every_line", "every_shape")
    wanted = {name: config.getoption(f"--{name.replace('_', '-')}") for name in options}
    left_out = [item for item in items if any(item.get_closest_marker(n) and not w for n, w in wanted.items())]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Weights that a test draws are the same in every run (a new process seeds PyTorch by chance)."""
    if importlib.util.find_spec("torch"):
        import torch

        torch.manual_seed(0)
