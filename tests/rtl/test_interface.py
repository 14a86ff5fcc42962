"""What other parts rely on in the Verilog, read with Pyverilog: ports and parameters of the top, the register map.

Not here: how the ports behave (vla_core, vla_control).
"""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from bench import RTL, SOURCES, TOP, parameters

from vla_isa import hardware, registers

READ = {"arvalid": "O", "arready": "I", "araddr": "O64", "arlen": "O8", "arsize": "O3", "arburst": "O2"}
READ |= {"rvalid": "I", "rready": "O", "rdata": "I256", "rlast": "I", "rresp": "I2"}
WRITE = {"awvalid": "O", "awready": "I", "awaddr": "O64", "awlen": "O8", "awsize": "O3", "awburst": "O2"}
WRITE |= {"wvalid": "O", "wready": "I", "wdata": "O256", "wstrb": "O32", "wlast": "O"}
WRITE |= {"bvalid": "I", "bready": "O", "bresp": "I2"}
GROUPS = {"weight": READ, "in": READ, "out": WRITE}


@cache
def modules() -> dict[str, Any]:
    """Pyverilog's syntax tree of every module, by name."""
    parser = pytest.importorskip("pyverilog.vparser.parser", reason="pip install .[rtl-test]")
    if shutil.which("iverilog") is None:
        pytest.skip("iverilog, Pyverilog's preprocessor, is not installed")
    with TemporaryDirectory() as folder:
        reader = parser.VerilogCodeParser(
            list(map(str, SOURCES)),
            preprocess_output=str(Path(folder) / "preprocessed.v"),
            preprocess_include=[str(RTL / "generated")],
            outputdir=folder,
            debug=False,
        )
        tree = reader.parse()
    return {d.name: d for d in tree.description.definitions if type(d).__name__ == "ModuleDef"}


def ports(module: str) -> dict[str, tuple[str, str]]:
    """Direction (I, O) and range, as text, of each port."""
    found = {}
    for port in modules()[module].portlist.ports:
        found[port.first.name] = (type(port.first).__name__[0], text(port.first.width))
    return found


def text(node: Any) -> str:
    """An expression as Verilog."""
    if node is None:
        return ""
    from pyverilog.ast_code_generator.codegen import ASTCodeGenerator

    return re.sub(r"[()\s]", "", ASTCodeGenerator().visit(node))


def test_pyverilog_reads_one_module_of_its_own_name_from_every_file() -> None:
    assert sorted(modules()) == sorted(path.stem for path in SOURCES)


def test_parameters_of_the_top_are_those_of_the_hardware_configs() -> None:
    declared = {p.list[0].name: int(text(p.list[0].value)) for p in modules()[TOP].paramlist.params}
    assert declared == parameters(hardware.load("u50"))  # the default config


@pytest.mark.parametrize("group", GROUPS)
def test_axi_masters_lie_side_by_side(group: str) -> None:
    count = f"{group.capitalize()}Masters"
    found = ports(TOP)
    for signal, shape in GROUPS[group].items():
        direction, width = shape[0], shape[1:]
        wanted = f"[{count}*{width}-1:0]" if width else f"[{count}-1:0]"
        assert found[f"m_axi_{group}_{signal}"] == (direction, wanted), signal


def test_every_port_is_named_by_its_direction_or_by_axi() -> None:
    for module in modules():
        for name, (direction, _) in ports(module).items():
            axi = name.startswith(("s_axi_", "m_axi_"))
            assert axi or name.endswith("_i" if direction == "I" else "_o"), f"{module}.{name}"


def test_control_reads_and_writes_the_registers_of_the_table() -> None:
    """No register of vla_isa is forgotten; none is known here only. Values come from the generated header."""
    source = (RTL / "src" / "vla_control.v").read_text(encoding="utf-8")
    used = set(re.findall(r"`VLA_REG_(\w+)", source))
    fixed = {r.name for r in registers.REGISTERS if not r.name.startswith("COUNTER_")}
    others = {name for name in fixed if re.search(r"_[1-9]\d*$", name)}  # of an array, found behind number 0
    assert used == fixed - others | {"COUNTER_BASE"}
    offset = {r.name: r.offset for r in registers.REGISTERS}
    for name in others:
        array, _, number = name.rpartition("_")
        assert offset[name] == offset[f"{array}_0"] + 8 * int(number)
    header = (RTL / "generated" / "vla_isa.vh").read_text(encoding="utf-8")
    for register in registers.REGISTERS:
        if register.name in fixed:
            value = re.search(rf"`define VLA_REG_{register.name}\s+12'h([0-9a-fA-F]+)", header)
            assert value and int(value[1], 16) == register.offset
    _, width = ports("vla_control")["counters_i"]
    assert "VLA_COUNTERS" in source and width == f"[64*{len(registers.COUNTERS)}-1:0]"
