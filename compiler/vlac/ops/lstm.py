"""LSTM (long short-term memory): unrolled in a float model (`rewrite/recurrent.py`)."""

from __future__ import annotations

from vlac.lowering.recurrent import recurrent_spec

__all__ = ["SPEC"]

SPEC = recurrent_spec("LSTM")
