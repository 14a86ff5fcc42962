"""The documentation is true: links lead somewhere, and a page's own steps work in a copy of the tree."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from doc_pages import blocks, follow, touched
from vla_toolchain.verify.reference import exact_reference

ROOT = Path(__file__).resolve().parents[1]
HOWTO = ROOT / "docs" / "howto"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "rtl" / "README.md"])
EXACT = pytest.mark.skipif(not exact_reference(), reason="the page's tests compare with ONNX Runtime on CPUs with VNNI")
LEFT_OUT = (".git", ".venv", "runs", "build", "dist", "sim_build", "__pycache__", ".*_cache", ".hypothesis")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the checkout."""
    shutil.copytree(ROOT, tmp_path / "tree", ignore=shutil.ignore_patterns(*LEFT_OUT))
    (tmp_path / "tree" / "runs").mkdir()
    return tmp_path / "tree"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"", text):
        link = target[0] or target[1]
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_page_of_the_package_index_stands_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / project["readme"]).read_text(encoding="utf-8")
    assert "](" not in text and "src=" not in text, "links are relative to nothing there"
    for extra in re.findall(r"vla-toolchain\[([\w,]+)\]", text):
        assert set(extra.split(",")) <= set(project["optional-dependencies"])
    for command in re.findall(r"^    (vlac|vlarun|vla-\w+) ", text, re.MULTILINE):
        assert command in project["scripts"]


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in ROOT.glob("docs/**/*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert name == "README.md" or f"({name})" in index, name


def test_each_mistake_has_a_test() -> None:
    page = (ROOT / "docs" / "reference" / "mistakes.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| mistake |")]
    assert len(rows) > 50
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, f"no test: {row}"
        for file, name in named:
            assert re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), name


def test_the_operator_page_shows_the_file_in_the_tree() -> None:
    (block,) = [b for b in blocks(HOWTO / "operator.md") if b.file.endswith("ops/leaky_relu.py")]
    assert block.text == (ROOT / block.file).read_text(encoding="utf-8")


def test_the_readme_has_the_figures_of_the_benchmarks() -> None:
    """Those are checked by tests/runtime/test_cycles.py."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    published = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .* \| `(\w+)` \| ([\d.]+) M \| ([\d,]+) \| ([\d.]+ %) \|$", readme, re.MULTILINE)
    assert len(rows) == 4
    for graph, macs, cycles, used in rows:
        assert re.search(rf"^\| {graph} \| {macs} \| [\d,]+ \| {cycles} \| {used} \|", published, re.MULTILINE), graph


def test_my_own_policy(tree: Path) -> None:
    assert follow(HOWTO / "my_policy.md", tree) == 4


def test_tasks(tree: Path) -> None:
    assert follow(HOWTO / "tasks.md", tree) == 6


@pytest.mark.slow
def test_a_prefix_and_steps(tree: Path) -> None:
    pytest.importorskip("torch", reason="pip install .[train]")
    assert follow(HOWTO / "prefix_and_steps.md", tree) == 5


@pytest.mark.slow
def test_my_transformer_policy(tree: Path) -> None:
    pytest.importorskip("torch", reason="pip install .[train]")
    assert follow(HOWTO / "transformer_policy.md", tree) == 4


@EXACT
def test_add_an_operator(tree: Path) -> None:
    (tree / "compiler/vlac/ops/leaky_relu.py").unlink()
    registry = tree / "compiler/vlac/ops/__init__.py"
    lines = registry.read_text(encoding="utf-8").splitlines(keepends=True)
    registry.write_text("".join(line for line in lines if "leaky_relu" not in line), encoding="utf-8")
    assert follow(HOWTO / "operator.md", tree) == 6


@pytest.mark.slow
def test_add_a_hardware_config(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLARUN_RTL_OPTIMIZE", "0")  # its machine is built for this page alone
    assert follow(HOWTO / "hardware_config.md", tree) == 3


def test_check_a_machine_of_your_own(tree: Path) -> None:
    assert follow(HOWTO / "own_rtl.md", tree) == 4


def test_add_a_backend(tree: Path) -> None:
    assert follow(HOWTO / "board.md", tree) == 5


def test_add_a_dataset(tree: Path) -> None:
    assert len(touched(HOWTO / "dataset.md")) == 6
    assert follow(HOWTO / "dataset.md", tree) == 7


@pytest.mark.slow
def test_peoples_demonstrations(tree: Path) -> None:
    for name in ("torch", "zarr", "numcodecs", "gym_pusht"):
        pytest.importorskip(name, reason="make setup")
    assert follow(HOWTO / "pusht.md", tree, {"--steps 100 --validate-every 100": "--steps 2 --batch-size 8"}) == 2


@pytest.mark.slow
def test_waymos_set(tree: Path) -> None:
    for name in ("google_crc32c", "panda3d"):
        pytest.importorskip(name, reason="make setup")
    assert follow(HOWTO / "waymo.md", tree) == 5


@pytest.mark.slow
def test_recordings_of_two_arms(tree: Path) -> None:
    for name in ("gym_aloha", "h5py"):
        pytest.importorskip(name, reason="make setup")
    assert follow(HOWTO / "aloha.md", tree) == 1


SHORTER = {"--episodes 1500": "--episodes 12", "--episodes 200": "--episodes 2"}


@pytest.mark.slow
def test_quantization_aware_training(tree: Path) -> None:
    pytest.importorskip("torch", reason="pip install .[train]")
    shorter = {"--config goto_obj": "--config debug", "--steps 300": "--steps 3"}
    assert follow(HOWTO / "qat.md", tree, SHORTER | shorter) == 3


def python(page: str) -> set[str]:
    """The Python files that a page writes or edits, without its test."""
    return {name for name in touched(HOWTO / page) if name.endswith(".py") and not name.startswith("tests/")}


def more_of_attention() -> set[str]:
    """The files that attention takes besides those of its page, which names them."""
    text = (HOWTO / "device_operation.md").read_text(encoding="utf-8").partition("## What attention takes")[2]
    return set(re.findall(r"`([\w/]+\.py)`", text))


def test_the_table_of_walks() -> None:
    operation = python("device_operation.md")
    assert len(operation) == 9 and not more_of_attention() & operation
    assert all((ROOT / name).parent.exists() for name in more_of_attention())
    counted = {
        "attention": len(operation | more_of_attention()),
        "an instruction": sum(name.startswith(("isa/", "runtime/")) for name in operation),
        "a policy": len(touched(HOWTO / "policy.md")),
        "a data set": len(touched(HOWTO / "dataset.md")),
        "a board": len(python("own_rtl.md")),
    }
    rows = re.findall(r"^\| ([\w ]+) \| (\d+) \| (\d+) \| (\d+) \|", (HOWTO / "README.md").read_text("utf-8"), re.M)
    assert {name: int(now) for name, _, _, now in rows} == counted
    assert all(int(now) <= int(most) < int(before) for _, before, most, now in rows)
    assert [most for _, _, most, _ in rows] == ["18", "10", "6", "6", "5"]


@EXACT
def test_add_a_device_operation(tree: Path) -> None:
    assert follow(HOWTO / "device_operation.md", tree) == 13


@pytest.mark.slow
def test_add_a_policy(tree: Path) -> None:
    shorter = {**SHORTER, "--config small_goto_obj": "--config small_goto_obj --steps 2 --batch-size 8"}
    assert len(touched(HOWTO / "policy.md")) == 6
    assert follow(HOWTO / "policy.md", tree, shorter) == 8


@pytest.mark.slow
def test_the_flow(tree: Path) -> None:
    assert follow(ROOT / "docs" / "the_flow.md", tree, {**SHORTER, "--config goto_obj": "--config debug"}) == 11


def test_an_instruction_is_few_files() -> None:
    page = HOWTO / "instruction.md"
    edited = [b.file or b.text.splitlines()[0].removeprefix("--- ") for b in blocks(page) if b.language != "console"]
    named = re.findall(r"`(tests/isa/[\w/]+\.py|runtime/vlarun/conformance/)`", page.read_text(encoding="utf-8"))
    assert all((ROOT / name).exists() for name in named) and len(named) == 2
    assert len({name for name in edited if name.endswith(".py")} | set(named)) <= 10


@pytest.mark.slow
def test_add_an_instruction(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tree / ".cache"))
    monkeypatch.setenv("VLARUN_RTL_OPTIMIZE", "0")  # its machines are built for this page alone
    assert follow(HOWTO / "instruction.md", tree) == 8
