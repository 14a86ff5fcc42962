"""Some channel blocks of a tensor, without an instruction."""

from __future__ import annotations

from dataclasses import dataclass

from vlac.ir.operation import Op

__all__ = ["ChannelSlice"]


@dataclass(eq=False)
class ChannelSlice(Op):
    """Some channel blocks of the input: no instruction, the output lies in the input."""

    @property
    def queue(self) -> str:
        """None: the bytes are there."""
        return ""
