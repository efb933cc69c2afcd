"""Files that scripts write: refused before long work, replaced whole, never lost."""

import os
import threading
from pathlib import Path

import pytest

from liveness.errors import ImageError, OutputError
from liveness.io.files import (
    VIDEO_SUFFIXES,
    check_output_files,
    list_files,
    move_new,
    write_atomically,
)


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


def listed(*folders, suffixes=(".png",), kind="pictures"):
    return list_files(folders, suffixes, kind=kind, error=ImageError)


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


@pytest.fixture
def link():
    def make(name, target):
        try:
            name.symlink_to(target)
        except OSError:
            pytest.skip("this system makes no links")

    return make


def test_linked_folders_and_files_are_followed(tmp_path, link):
    put(tmp_path, "disk/print/2.png", "disk/print/10.png", "one.png", "data/real/1.png")
    link(tmp_path / "data/fake", tmp_path / "disk")
    link(tmp_path / "data/real/2.png", tmp_path / "one.png")

    names = [str(path.relative_to(tmp_path)) for path in listed(tmp_path / "data")]

    assert names == [
        *("data/fake/print/2.png", "data/fake/print/10.png"),
        *("data/real/1.png", "data/real/2.png"),
    ]


def test_links_that_lead_back_end(tmp_path, link):
    put(tmp_path, "beside/7.png", "data/a/1.png", "disk/2.png")
    link(tmp_path / "data/a/up", tmp_path / "data")
    link(tmp_path / "data/a/out", tmp_path)
    link(tmp_path / "data/a/self", "self")
    link(tmp_path / "data/disk", tmp_path / "disk")
    link(tmp_path / "disk/back", tmp_path / "data")
    link(tmp_path / "disk/here", ".")

    names = [str(path.relative_to(tmp_path)) for path in listed(tmp_path / "data")]

    assert names == ["data/a/1.png", "data/disk/2.png"]


def test_a_file_of_two_names_is_listed_once_and_under_its_own(tmp_path, link):
    put(tmp_path, "data/print/1.png")
    link(tmp_path / "data/also", tmp_path / "data/print")
    link(tmp_path / "data/a.png", tmp_path / "data/print/1.png")
    link(tmp_path / "data2", tmp_path / "data")

    (only,) = listed(tmp_path / "data", tmp_path / "data2")

    assert only == tmp_path / "data/print/1.png"


def test_files_of_other_kinds_are_counted_in_one_line(tmp_path, caplog):
    put(tmp_path, "a/1.png", "a/2.PNG", "a/x.txt", "b/y.TXT", "b/z.json", "b/3.png")
    put(tmp_path, "a/Makefile", "a/crops.csv", "b/Thumbs.db", "a/.hidden.txt")
    caplog.set_level("INFO", logger="liveness")

    assert len(listed(tmp_path / "a", tmp_path / "b")) == 3

    (record,) = caplog.records
    assert "only pictures are read; skipped: 2 .txt" in record.getMessage()
    assert "1 .json" in caplog.text and "1 without a suffix" in caplog.text
    assert "db" not in caplog.text and "csv" not in caplog.text


def test_a_folder_without_any_says_what_is_in_it(tmp_path):
    put(tmp_path, "1.psd", "2.psd")
    with pytest.raises(ImageError, match=r"no pictures in folder .*it holds 2 \.psd"):
        listed(tmp_path)


def test_a_link_that_leads_nowhere_is_told(tmp_path, link, caplog):
    put(tmp_path, "1.png")
    link(tmp_path / "fake", tmp_path / "unplugged")
    assert listed(tmp_path) == [tmp_path / "1.png"]
    assert f"broken link '{tmp_path / 'fake'}'" in caplog.text


@pytest.mark.parametrize("suffix", [".mts", ".m2ts", ".flv", ".ogv", ".M2TS"])
def test_films_of_camcorders_are_listed(tmp_path, suffix):
    put(tmp_path, f"film{suffix}")
    assert len(listed(tmp_path, suffixes=VIDEO_SUFFIXES, kind="videos")) == 1


@pytest.mark.parametrize("has_links", [True, False])
def test_new_file_replaces_nothing_and_leaves_no_part(tmp_path, has_links, monkeypatch):
    def no_links(*_):
        raise PermissionError(1, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr("os.link", no_links)
    for content in ("old", "new"):
        (tmp_path / content).write_text(content)
    move_new(tmp_path / "old", tmp_path / "1.png")
    with pytest.raises(FileExistsError):
        move_new(tmp_path / "new", tmp_path / "1.png")
    assert (tmp_path / "1.png").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.png", "new"]
