"""For all tests: ONNX Runtime's telemetry is off, whichever package a test imports first; vlac checks every pass."""

import os

import vla_isa  # noqa: F401

os.environ["VLAC_CHECK"] = "1"  # as `vlac compile --check`, also in the commands that tests start
