"""Tokens that the device says beside those of ONNX Runtime: how often its ArgMax is the same, behind the same tokens.

    python benchmarks/token_agreement.py RUN --data runs/pusht --out runs/pusht_success [--frames N]
        [--activations int16]

A run is a folder of `vla-train train` with the policy `flow_autoregressive`; its program for `u50` is that of
`pusht_success.py`, in the same --out, or is made now. Frames are held-out ones of --data. Both decode greedily, each a
chunk of its own: counted are tokens up to the first that differs, as behind that they are asked for something else.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from policy_program import compiled, onnx_files
from prepare import count

import vlarun
from vla_isa.errors import VlaError
from vla_models.chunks.names import ACTIONS
from vla_models.flow_autoregressive.config import FlowAutoregressiveConfig
from vla_models.flow_autoregressive.names import AUTOREGRESSIVE, HEADS
from vla_models.pusht.names import ACTION_UNIT
from vla_models.saved import load_config
from vla_training.calibrate import calibration_arrays
from vla_training.checkpoint import pretrained_folder
from vla_training.errors import EvaluationError
from vlac.options import ACTIVATIONS

_CONFIG = "u50"
_OTHER_SEED = 1  # frames of another draw than those that calibrate
Floats = npt.NDArray[np.float32]


def agreement(found: Floats, wanted: Floats, width: float) -> dict[str, float]:
    """What is said of two sets of chunks (N, horizon, 2), in px.

    Args:
        found: of the device.
        wanted: of ONNX Runtime.
        width: of a bin; the device's values are near the middles of its bins, in 8 bits.
    """
    equal = np.abs(found - wanted).reshape(len(found), -1) < width / 2
    asked = np.logical_and.accumulate(np.c_[np.ones(len(equal), np.bool_), equal[:, :-1]], axis=1)
    far = np.linalg.norm(found - wanted, axis=2)
    return {
        "chunks": len(found),
        "tokens behind equal ones": int(asked.sum()),
        "of them equal": float(equal[asked].mean()),
        "chunks equal": float(equal.all(axis=1).mean()),
        "mean distance of an action, px": float(far.mean()),
        "of the first action, px": float(far[:, 0].mean()),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of vla-train train")
    parser.add_argument("--data", type=Path, required=True, help="demonstrations, of whose held-out frames are taken")
    parser.add_argument("--out", type=Path, required=True, help="folder of the program")
    parser.add_argument("--activations", choices=ACTIVATIONS, default=ACTIVATIONS[0], help="what its layers read")
    parser.add_argument("--frames", type=count, default=500, help="how many chunks")
    arguments = parser.parse_args(argv)
    try:
        print(json.dumps(measured(**vars(arguments)), indent=2))
    except VlaError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def measured(run: Path, data: Path, out: Path, frames: int, activations: str) -> dict[str, float]:
    """Of the run's program, on held-out frames.

    Raises:
        EvaluationError: the run is of another policy.
        VlaError: the data cannot be read, or the policy is not compiled.
    """
    policy = pretrained_folder(run)
    _, config = load_config(policy)
    if not isinstance(config, FlowAutoregressiveConfig):
        raise EvaluationError(f"{run} is no run of the policy 'flow_autoregressive'; its tokens are what is compared.")
    name = "-".join([run.name, str(config.sampler_steps), *([activations] if activations != ACTIVATIONS[0] else [])])
    program = compiled(policy, out / "programs" / f"{name}.bin", data, _CONFIG, activations)
    device = vlarun.Session(str(program))
    file = onnx_files(program, HEADS)[AUTOREGRESSIVE]
    float_ = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    arrays = calibration_arrays(data, policy, frames, _OTHER_SEED)
    names = [value.name for value in float_.get_inputs()]
    found, wanted = [], []
    for row in range(len(arrays[names[0]])):
        given = {name: arrays[name][row : row + 1] for name in names}
        found.append(device.run(given, entry=AUTOREGRESSIVE)[ACTIONS])
        wanted.append(float_.run([ACTIONS], given)[0])
    unit = np.float32(ACTION_UNIT)
    return agreement(np.concatenate(found) * unit, np.concatenate(wanted) * unit, 2 * config.reach / config.bins)


if __name__ == "__main__":
    sys.exit(main())
