"""For all tests: ONNX Runtime's telemetry is off, whichever package a test imports first; vlac checks every pass."""

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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only `--every-exporter` asks for."""
    if config.getoption("--every-exporter"):
        return
    left_out = [item for item in items if item.get_closest_marker("every_exporter")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("every_exporter")]
