"""Files that scripts write: refused before long work, replaced whole, never lost."""

import os
import threading
from pathlib import Path

import pytest

from liveness.errors import OutputError
from liveness.files import check_output_files, write_atomically


def test_a_link_stays_and_leads_to_the_new_content(tmp_path):
    (tmp_path / "there").mkdir()
    target = tmp_path / "there/scores.csv"
    target.write_text("old")
    link = tmp_path / "link.csv"
    link.symlink_to(target)

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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has this device")
def test_a_device_stays_one():
    with pytest.raises(OSError, match="No space left"):
        write_atomically(Path("/dev/full"), b"x")

    assert Path("/dev/full").is_char_device()


@pytest.mark.skipif(
    not Path("/proc/self").is_dir(), reason="needs a folder that root cannot write"
)
def test_a_folder_that_cannot_be_written_is_refused_first(tmp_path):
    with pytest.raises(OutputError, match="cannot write into folder '/proc'"):
        check_output_files([tmp_path / "fine.csv", Path("/proc/x.csv")])
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "text.txt").write_text("words")

    with pytest.raises(OutputError, match=r"text\.txt' is a file"):
        check_output_files([tmp_path / "text.txt/x.json"])
