"""Files that scripts write: refused before long work, replaced whole, never lost."""

import os
import threading
from pathlib import Path

import pytest

from liveness.errors import OutputError
from liveness.files import check_output_files, write_atomically, write_new


def test_a_link_stays_and_leads_to_the_new_content(tmp_path):
    (tmp_path / "there").mkdir()
    target = tmp_path / "there/scores.csv"
    target.write_text("old")
    link = tmp_path / "link.csv"
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("this system makes no links")

    write_atomically(link, b"new")

    assert link.is_symlink()
    assert target.read_text() == "new"
    assert sorted(tmp_path.rglob("*")) == [link, target.parent, target]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_is_written_into(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.daemon = True  # would wait for ever if the pipe were replaced
    reader.start()

    check_output_files([pipe])
    write_atomically(pipe, b"figures")
    reader.join(timeout=10)

    assert read == [b"figures"]
    assert pipe.is_fifo()


def test_two_names_of_one_file_are_refused(tmp_path):
    (tmp_path / "a.csv").touch()
    try:
        (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")
    except OSError:
        pytest.skip("this system makes no links")

    with pytest.raises(OutputError, match="two files would be written"):
        check_output_files([tmp_path / "a.csv", tmp_path / "b.csv"])


@pytest.mark.skipif(
    not Path("/proc/self").is_dir(), reason="needs a folder that root cannot write"
)
def test_a_folder_that_cannot_be_written_is_refused_first(tmp_path):
    with pytest.raises(OutputError, match="cannot create a file in folder '/proc'"):
        check_output_files([tmp_path / "fine.csv", Path("/proc/x.csv")])
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "text.txt").write_text("words")

    with pytest.raises(OutputError, match=r"text\.txt' is a file"):
        check_output_files([tmp_path / "text.txt/x.json"])


@pytest.mark.parametrize("has_links", [True, False])
def test_new_file_replaces_nothing_and_leaves_no_part(tmp_path, has_links, monkeypatch):
    def no_links(*_):
        raise PermissionError(1, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr("os.link", no_links)
    write_new(tmp_path / "1.png", b"old")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "1.png", b"new")
    assert (tmp_path / "1.png").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["1.png"]
