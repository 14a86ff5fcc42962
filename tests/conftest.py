"""For all tests: ONNX Runtime's telemetry is off, whichever package a test imports first."""

import vla_isa  # noqa: F401
