"""`vlac compile` on a model, and what it prints."""

import onnx
from clamped_nets import Net, conv

from vla_toolchain.vlac_cli import main


def compile_file(model, tmp_path, *options):
    onnx.save(model, tmp_path / "m.onnx")
    return main(["compile", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "p.bin"), *map(str, options)])


def verified(model, tmp_path, capsys, *options):
    """What `--verify` prints."""
    code = compile_file(model, tmp_path, "--verify", *options)
    captured = capsys.readouterr()
    assert code == 0, captured.err
    table = captured.out.split(str(tmp_path))[0]  # up to what a compile prints anyway
    assert max(map(len, table.splitlines())) <= 80, table
    return captured.out


def small():
    net = Net()
    conv(net, 0, "y")
    return net.model("y")


def line_of(out):
    lines = out.splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.startswith("SNR to the float model")]
    assert max(map(len, lines[at:])) <= 80
    return " ".join(line.strip() for line in lines[at:])
