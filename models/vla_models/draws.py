"""Random numbers of the rows of a batch, in training.

A row has the same ones whichever process computes it, in whichever part of the batch: all of them draw those of the
whole batch, and take their rows. So several processes train as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["Draws"]


class Draws:
    """What is drawn for each row, from a generator."""

    def __init__(self, generator: torch.Generator, rows: torch.Tensor | None = None, of: int = 0) -> None:
        """
        Args:
            generator: of the device that the numbers are on.
            rows: of the whole batch, those that are here (R,); None: all of them.
            of: how many the whole batch has.
        """
        self._generator, self._rows, self._of = generator, rows, of

    def normal(self, count: int, *shape: int) -> torch.Tensor:
        """Of mean 0 and deviation 1, (count, *shape); see `uniform`."""
        import torch

        rows, every = self._asked(count)
        return torch.randn(every, *shape, generator=self._generator, device=self._generator.device)[rows]

    def uniform(self, count: int, *shape: int) -> torch.Tensor:
        """From 0 to below 1, (count, *shape).

        Args:
            count: as many as there are rows here, or so many for each of them, one behind another.
            shape: of one.
        """
        import torch

        rows, every = self._asked(count)
        return torch.rand(every, *shape, generator=self._generator, device=self._generator.device)[rows]

    def integers(self, end: int, count: int) -> torch.Tensor:
        """From 0 to below `end`, (count,); see `uniform`."""
        import torch

        rows, every = self._asked(count)
        return torch.randint(0, end, (every,), generator=self._generator, device=self._generator.device)[rows]

    def _asked(self, count: int) -> tuple[torch.Tensor | slice, int]:
        """Which of how many."""
        import torch

        if self._rows is None:
            return slice(None), count
        each, left = divmod(count, len(self._rows))
        assert not left, (count, len(self._rows))
        places = torch.arange(each, device=self._rows.device)
        return (self._rows[:, None] * each + places).flatten(), self._of * each
