"""For all tests: ONNX Runtime's telemetry is off, whichever package a test imports first; vlac checks every pass."""

import os

import pytest

import vla_isa  # noqa: F401

os.environ["VLAC_CHECK"] = "1"  # as `vlac compile --check`, also in the commands that tests start


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many random transformer blocks there are; with more than the usual ones, all run on the Verilog machine."""
    parser.addoption("--random-blocks", type=int, default=30, help="random transformer blocks (acceptance: 300)")
