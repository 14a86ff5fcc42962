"""Output files: whole or not there, whoever writes at the same time; and places that are refused before any work."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vla_isa.errors import OutputError
from vla_isa.files import check_folder, check_writable, make_folder, whole_file, write_whole


def test_a_file_is_written_with_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert (tmp_path / "file").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"old")
    with pytest.raises(RuntimeError), whole_file(tmp_path / "file") as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"old")]


def test_threads_that_write_one_path_leave_one_whole_file(tmp_path: Path) -> None:
    contents = [bytes([i]) * 100_000 for i in range(4)]
    errors: list[Exception] = []

    def work(content: bytes) -> None:
        try:
            for _ in range(50):
                write_whole(tmp_path / "file", content)
        except Exception as e:
            errors.append(e)

    threads = [threading.Thread(target=work, args=(c,)) for c in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (tmp_path / "file").read_bytes() in contents
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_a_refusal(tmp_path: Path) -> None:
    """A process that may write 1000 bytes a file, as a stand-in for the disk."""
    code = (
        "import sys; from pathlib import Path; from vla_isa import errors, files\n"
        "try: files.write_whole(Path(sys.argv[1]), bytes(5000))\n"
        "except errors.OutputError as e: print(e)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert "file' cannot be written: File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    for path, reason in (
        (tmp_path, "is a folder; give a file name"),
        (tmp_path / "none" / "x", "does not exist; create it first"),
        (tmp_path / "file" / "x", "cannot be written: Not a directory"),
        (tmp_path / "pipe", "is a device or a pipe"),
        (tmp_path / ("x" * 256), "cannot be written: File name too long"),
        (Path("/proc/none"), "cannot be written"),
    ):
        with pytest.raises(OutputError, match=reason):
            write_whole(path, b"")
    check_writable(tmp_path / ("x" * 255))
    write_whole(tmp_path / ("x" * 255), b"a name as long as names may be")


def test_folders(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check_folder(tmp_path / "new")
    check_folder(tmp_path)
    for path, reason in (
        (tmp_path / "file", "is a file; give a folder"),
        (tmp_path / "a" / "b", "does not exist; create it first"),
        (tmp_path / "file" / "b", "is a file"),
        (tmp_path / ("x" * 256), "File name too long"),
    ):
        with pytest.raises(OutputError, match=reason):
            check_folder(path)
    check_folder(tmp_path / "a" / "b", parents=True)
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    with pytest.raises(OutputError, match="is a file"):
        make_folder(tmp_path / "file" / "b")
