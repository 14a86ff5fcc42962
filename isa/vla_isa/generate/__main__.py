"""Command line: write every generated file of the checkout, or check that none is stale.

Exit code 0: written, or all fresh. 1: `--check` found a stale file, or the folder is no checkout.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vla_isa import hardware
from vla_isa.files import make_folder, write_whole
from vla_isa.generate import (
    cpp_header,
    packet_check,
    program_page,
    python_codes,
    recip_rom,
    reference_pages,
    verilog_header,
)

__all__ = ["generated_files", "main"]


def generated_files() -> dict[str, str]:
    """Every generated file: path from the repository root -> its text."""
    configs = [hardware.load(name) for name in hardware.names()]
    out = {
        "rtl/generated/vla_isa.vh": verilog_header.isa_header(),
        "rtl/generated/vla_packet_check.v": packet_check.module(),
        "rtl/generated/vla_recip_rom.vh": recip_rom.rom(),
        "rtl/generated/vla_isa.h": cpp_header.header(),
        "isa/vla_isa/generated/codes.py": python_codes.module(),
        "docs/reference/isa.md": reference_pages.isa_page(),
        "docs/reference/registers.md": reference_pages.registers_page(),
        "docs/reference/configs.md": reference_pages.configs_page(configs),
        "docs/reference/program.md": program_page.program_page(),
    }
    for hw in configs:
        out[f"rtl/generated/vla_config_{hw.name}.vh"] = verilog_header.config_header(hw)
    return out


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m vla_isa.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(__file__).resolve().parents[3],
        help="the repository (default: the checkout this package lies in)",
    )
    args = parser.parse_args(arguments)
    if not (args.root / "pyproject.toml").is_file():
        print(f"error: {args.root} is no checkout of this repository; give one with --root", file=sys.stderr)
        return 1
    stale = []
    for name, text in generated_files().items():
        path = args.root / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not args.check:
            make_folder(path.parent)
            write_whole(path, text.encode())
    for name in stale:
        print(f"stale: {name}; run python -m vla_isa.generate" if args.check else f"wrote {name}")
    return 1 if args.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
