"""Full frames of many sites become a dataset whose sites stay apart."""

import csv
import shutil

import cv2
import numpy as np
import pytest

import gather_sites
from liveness.cli.run import run
from liveness.constants import ROOT
from liveness.data.dataset import read_dataset
from liveness.io.locks import lock_folder

COLUMNS = ("path", "site", "label", "attack", "group")
ROWS = (
    ("frames/1.jpg", "office", "real", "", "anna"),
    ("frames/2.jpg", "office", "fake", "print", "anna"),
)


@pytest.fixture
def data(tmp_path):
    """Two pictures of a site in frames.csv, and two videos of another one."""
    folder = tmp_path / "data"
    (folder / "frames").mkdir(parents=True)
    (folder / "videos").mkdir()
    shutil.copy(ROOT / "images/reals/1.jpg", folder / "frames/1.jpg")
    shutil.copy(ROOT / "images/fakes/1.jpg", folder / "frames/2.jpg")
    shutil.copy(ROOT / "videos/real_1.mp4", folder / "videos/my_home_real.mp4")
    shutil.copy(ROOT / "videos/fake_1.mp4", folder / "videos/my_home_fake.mp4")
    (folder / "videos/my_notes.txt").touch()  # another name: passed over
    write_table(folder, ROWS)
    return folder


def write_table(folder, rows, columns=COLUMNS):
    with (folder / "frames.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


def start(data, output):
    given = ["-i", str(data), "-o", str(output), "--per-video", "4"]
    return run(lambda: gather_sites.main(given))


def test_crops_are_a_dataset_with_sites(data, tmp_path, capsys):
    assert start(data, tmp_path / "out") == 0

    samples = read_dataset([tmp_path / "out"])
    found = {(s.site, s.label, s.attack) for s in samples}
    assert found == {
        ("office/anna", "real", ""),
        ("office/anna", "fake", "print"),
        ("my_home", "real", ""),
        ("my_home", "fake", "replay"),
    }
    assert {s.collection for s in samples} == {"office", "my_home"}
    assert all(s.crop_scale == pytest.approx(2.7) for s in samples)
    filmed = [s for s in samples if s.site == "my_home" and s.label == "real"]
    assert 3 <= len(filmed) <= 5
    out = capsys.readouterr().out
    assert out.endswith(f"without a face: 0, saved: {len(samples)}\n")


def test_files_that_are_named_otherwise_are_said(data, tmp_path, capsys):
    names = ("office_Real.mp4", "film.mp4", "_real.mp4", "office_real.txt")
    for name in names:
        (data / "videos" / name).write_bytes(b"x")

    assert start(data, tmp_path / "out") == 0
    error = capsys.readouterr().err
    assert all(f"videos/{name}' is skipped" in error for name in names)
    assert "my_home" not in error


def test_second_run_adds_nothing(data, tmp_path, capsys):
    shutil.rmtree(data / "videos")
    assert start(data, tmp_path / "out") == 0
    assert start(data, tmp_path / "out") == 0

    assert "saved: 0, already collected: 2" in capsys.readouterr().out
    assert len(read_dataset([tmp_path / "out"])) == 2


def test_second_run_at_a_time_is_refused(data, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    with lock_folder(tmp_path / "out"):
        assert start(data, tmp_path / "out") == 1
    assert "another run is writing to" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_bad_inputs_are_counted_and_said(data, tmp_path, capsys):
    (data / "frames/1.jpg").write_text("no picture")
    (data / "videos/my_home_real.mp4").write_bytes(b"")
    write_table(data, [*ROWS, ("frames/missing.jpg", "office", "real", "", "ben")])

    assert start(data, tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert "unreadable: 3" in captured.out
    for name in ("1.jpg", "my_home_real.mp4", "missing.jpg"):
        assert name in captured.err
    assert read_dataset([tmp_path / "out"])  # the others were saved


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (ROWS, ("path", "site", "label", "attack", "people"), "lacks the column"),
        (
            [("frames/1.jpg", "office")],
            COLUMNS,
            "too few fields in row 2",
        ),
        (ROWS, ("file", *COLUMNS[1:]), "lacks the column 'path'"),
        ([("1.jpg", "office", "spoof", "", "a")], COLUMNS, "label 'spoof'"),
        ([("1.jpg", "/office", "real", "", "a")], COLUMNS, "site '/office'"),
        ([("1.jpg", "", "real", "", "a")], COLUMNS, "the site ''"),
        ([("1.jpg", "lab/a", "real", "", "a")], COLUMNS, "site 'lab/a'"),
        ([("1.jpg", "x", "fake", "../../..", "a")], COLUMNS, "attack '../../..'"),
        ([("1.jpg", "C:\\x", "fake", "", "a")], COLUMNS, "the site"),
        ([("1.jpg", "x", "fake", "real", "a")], COLUMNS, "attack 'real'"),
        ([("1.jpg", "x", "real", "", "fake")], COLUMNS, "group 'fake'"),
    ],
    ids=[
        *("column", "short", "path", "label", "absolute", "nameless", "two", "above"),
        *("windows", "attack", "group"),
    ],
)
def test_wrong_table_is_refused(data, tmp_path, capsys, rows, columns, message):
    write_table(data, rows, columns)

    assert start(data, tmp_path / "out") == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_pictures_without_a_face_are_counted_and_end_with_1(data, tmp_path, capsys):
    shutil.rmtree(data / "videos")
    wall = np.full((240, 320, 3), 90, np.uint8)
    cv2.imwrite(str(data / "frames/1.jpg"), wall)
    cv2.imwrite(str(data / "frames/2.jpg"), wall)

    assert start(data, tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert "without a face: 2, saved: 0" in captured.out
    assert "frames/1.jpg: no face found" in captured.err


def test_tables_of_spreadsheet_programs(data, tmp_path, capsys):
    """A mark before UTF-8 is read over; another encoding is refused in one line."""
    shutil.rmtree(data / "videos")
    text = (data / "frames.csv").read_text()
    (data / "frames.csv").write_bytes(text.encode("utf-8-sig"))
    assert start(data, tmp_path / "out") == 0

    (data / "frames.csv").write_bytes(text.replace("anna", "änna").encode("latin-1"))
    assert start(data, tmp_path / "other") == 1
    assert "is no table in UTF-8" in capsys.readouterr().err


def test_folder_without_anything_is_refused(tmp_path, capsys):
    assert start(tmp_path, tmp_path / "out") == 1
    assert (
        "expected frames.csv with pictures, or videos/SITE_real.*"
        in capsys.readouterr().err
    )
