"""Bank conflicts of CONV's operand fetch, which depend on how far apart the rows of the input lie."""

from __future__ import annotations

from functools import lru_cache

from vla_isa.hardware import BANKS

__all__ = ["strip_cycles"]


@lru_cache(maxsize=1 << 16)
def strip_cycles(h: int, w: int, stride_h: int, stride_w: int, row_stride: int, pixels: int) -> float:
    """Cycles per strip of `pixels` output pixels of an h x w plane, 1 where no two pixels of a strip share a bank."""
    strips = min(-(-h * w // pixels), w)  # the pattern repeats after w strips
    total = 0
    for s in range(strips):
        banks: dict[int, int] = {}
        for i in range(s * pixels, min((s + 1) * pixels, h * w)):
            y, x = divmod(i, w)
            bank = (y * stride_h * row_stride + x * stride_w) % BANKS
            banks[bank] = banks.get(bank, 0) + 1
        total += max(banks.values())
    return total / strips
