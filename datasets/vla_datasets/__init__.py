"""Collect, store and read demonstrations: one on-disk form (LeRobotDataset v3.0), one folder per dataset.

Needs numpy, pyarrow and pillow; never imports torch, and never unpickles anything.
"""

from vla_isa import __version__

__all__ = ["__version__"]
