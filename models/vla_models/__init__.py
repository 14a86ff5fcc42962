"""Robot policies: PyTorch models that export to ONNX with static shapes, and numpy-only preprocessing for the robot.

One policy is one folder (`config.py`, `model.py`, `preprocess.py`) and one line in `policy.POLICIES`. Importing this
package, a policy's `config` or its `preprocess` never imports torch.
"""
