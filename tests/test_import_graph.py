"""The packages import in one direction, without circles, as docs/architecture.toml says."""

from __future__ import annotations

from collections import defaultdict

import pytest

from architecture import BACKENDS, PICTURE, picture
from import_graph import Floors, circles, graph, imports, room_of
from vlac.pipeline import PASSES
from vlarun import backends

FLOORS = Floors.load()
GRAPH = graph()
PROGRAMS = [name for name in GRAPH if name.endswith(".__main__")]  # above all floors
LIBRARY = {name: targets for name, targets in GRAPH.items() if name not in PROGRAMS}


def test_nobody_imports_a_program() -> None:
    assert not {name: found for name, targets in GRAPH.items() if (found := targets & set(PROGRAMS))}


def test_modules_have_no_circles() -> None:
    assert circles(LIBRARY) == []


def test_packages_import_from_lower_floors_only() -> None:
    floor = {package: number for number, floor in enumerate(FLOORS.packages) for package in floor}
    assert floor.keys() == {name.partition(".")[0] for name in GRAPH}, "docs/architecture.toml lists every package"
    edges = [(a, b) for a, targets in LIBRARY.items() for b in targets if room_of(a)[0] != room_of(b)[0]]
    assert [f"{a} imports {b}" for a, b in edges if floor[room_of(b)[0]] >= floor[room_of(a)[0]]] == []


@pytest.mark.parametrize("package", FLOORS.rooms)
def test_rooms_import_from_lower_floors_only(package: str) -> None:
    floor = {room: number for number, floor in enumerate(FLOORS.rooms[package]) for room in floor}
    rooms = {room_of(name)[1] for name in LIBRARY if room_of(name)[0] == package} - {""}
    assert floor.keys() == rooms, f"docs/architecture.toml lists every room of {package}"
    up = []
    for a, targets in LIBRARY.items():
        for b in targets:
            (where, room), (there, other) = room_of(a), room_of(b)
            if where == there == package and room and room != other and floor[other or room] >= floor[room]:
                up.append(f"{a} imports {b}")
    assert up == []


def test_rooms_have_no_circles() -> None:
    """Of any package, also those whose floors are not listed. What a package itself offers is above its rooms."""
    edges: dict[str, set[str]] = defaultdict(set)
    for a, targets in LIBRARY.items():
        edges[".".join(room_of(a))] |= {".".join(room_of(b)) for b in targets if room_of(a) != room_of(b)}
    assert circles(edges) == []


def test_operators_do_not_import_one_another() -> None:
    """What several of them share is in `lowering`."""
    operators = {name for name in LIBRARY if name.startswith("vlac.ops.")}
    assert len(operators) > 80
    assert not {name: found for name in operators if (found := LIBRARY[name] & (operators | {"vlac.ops"}))}


def test_the_picture_is_up_to_date() -> None:
    assert list(FLOORS.passes) == [p.name for p in PASSES]
    assert tuple(spec.name for spec in backends.BACKENDS) == BACKENDS
    assert PICTURE.read_text(encoding="utf-8") == picture(), "python tests/architecture.py"


# --- can these tests fail? ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "import a.b",
        "import a.b as c",
        "from a import b",
        "from a.b import Thing",
        "from a.b.Thing import inner",
        "def f():\n    from a import b",
        "if TYPE_CHECKING:\n    from a.b import Thing",
        "parser.add_command('run', 'a.b:run')",
        "importlib.import_module('a.b').main()",
    ],
)
def test_an_import_is_seen(text: str) -> None:
    assert "a.b" in imports(text, {"a", "a.b", "c"})


@pytest.mark.parametrize("text", ["x = 'a.b'", "'see a.b:run for more'", "import d, ab", "# import a.b"])
def test_what_is_no_import_is_not(text: str) -> None:
    assert imports(text, {"a", "a.b"}) == set()


def test_circles_are_found() -> None:
    assert circles({"a": ["b"], "b": ["c"], "c": []}) == []
    assert circles({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["d"]}) == [{"b", "c"}]
    assert circles({"a": ["b"], "b": ["a"], "c": ["d", "a"], "d": ["c"]}) == [{"a", "b"}, {"c", "d"}]
