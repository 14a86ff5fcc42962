"""Programs and their parts on `sim`; inputs and outputs are values of the ONNX model by name."""

from __future__ import annotations

from vla_isa.package import HostPartition, Package
from vla_isa.program import Program
from vla_toolchain.verify.reference import Arrays
from vlarun.partitions import HostRunner, open_session
from vlarun.session import Session

__all__ = ["run_device", "run_host", "run_whole"]


def run_device(program: Program, inputs: Arrays) -> tuple[Arrays, Arrays]:
    """Outputs of a device program: the device's integers, and what the user gets."""
    session = Session(program, backend="sim")
    return session.device_outputs(inputs), session.run(inputs)


def run_host(part: HostPartition, values: Arrays) -> Arrays:
    """Outputs of a host part."""
    return HostRunner(part).run(values)


def run_whole(product: Program | Package, inputs: Arrays) -> Arrays:
    """What the user gets from a program, with host parts or without."""
    return open_session(product).run(inputs)
