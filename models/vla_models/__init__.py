"""Robot policies: PyTorch models that export to ONNX, and numpy-only preprocessing for the robot.

One policy is one folder (`config`, `model`, `preprocess`) and one line in `registry.POLICIES`, or in `IMPORTED` where
others trained it. Importing this package, a policy's `config` or its `preprocess` never imports torch.
"""

from vla_isa import __version__

__all__ = ["__version__"]
