"""Switch off ONNX Runtime's telemetry: it is on by default since 1.31, writes a database into the user's cache
folder when the library is loaded, and may send it.

The environment variable works only if it is set before ONNX Runtime is loaded; where a user's program has loaded it
already, its own switch stops the events from then on. Who wants telemetry sets ORT_DISABLE_TELEMETRY=0 beforehand.
"""

from __future__ import annotations

import os
import sys

__all__ = ["VARIABLE", "switch_off"]

VARIABLE = "ORT_DISABLE_TELEMETRY"


def switch_off() -> None:
    """Keep ONNX Runtime from collecting anything in this process and the processes it starts."""
    if os.environ.setdefault(VARIABLE, "1") == "0":
        return
    loaded = sys.modules.get("onnxruntime")
    if loaded is not None and hasattr(loaded, "disable_telemetry_events"):
        loaded.disable_telemetry_events()
