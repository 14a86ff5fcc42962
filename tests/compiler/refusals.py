"""Run `vlac` in this process and expect a refusal: the exit code, the message, no traceback, no file."""

from __future__ import annotations

from vla_toolchain.vlac_cli import main


def refused(capsys, arguments, *parts, code=1):
    assert main([str(a) for a in arguments]) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    for part in parts:
        assert part in captured.err, captured.err


def compile_refused(capsys, tmp_path, model, *parts, extra=("--calib", "random:1"), code=1):
    out = tmp_path / "out.bin"
    refused(capsys, ["compile", model, "-o", out, *extra], *parts, code=code)
    assert list(tmp_path.glob("*.bin")) == [] and list(tmp_path.glob(".*")) == []
