"""Enrolling the two portraits: the file, its changes, and what is refused."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from enroll_faces import main
from liveness.cli.run import run
from liveness.constants import ROOT
from liveness.io.images import read_image, write_image
from liveness.people.enrolment import find_people
from liveness.people.identity import KnownFaces, load_known, save_known

GRACE = ROOT / "images/reals/1.jpg"
GRACE_TOO = ROOT / "images/reals/3.jpg"
EILEEN = ROOT / "images/reals/2.jpg"
EILEEN_TOO = ROOT / "images/reals/4.jpg"


@pytest.fixture
def people(tmp_path) -> Path:
    """A folder of two people with two pictures each."""
    folder = tmp_path / "known faces"
    for name, pictures in {
        "Grace": (GRACE, GRACE_TOO),
        "Eileen": (EILEEN, EILEEN_TOO),
    }.items():
        (folder / name).mkdir(parents=True)
        for picture in pictures:
            shutil.copy(picture, folder / name)
    return folder


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "encodings.npz"


def enroll(*arguments: object) -> int:
    return run(lambda: main([str(argument) for argument in arguments]))


def test_folders_of_people(people, file, capsys):
    assert enroll("-i", people, "-e", file) == 0

    assert capsys.readouterr().out == "Eileen: 2 pictures\nGrace: 2 pictures\n"
    assert load_known(file).people == ["Eileen", "Grace"]
    assert file.stat().st_size < 10_000  # encodings, no pictures


def test_pictures_named_after_people(tmp_path, file):
    folder = tmp_path / "flat"
    folder.mkdir()
    shutil.copy(GRACE, folder / "Grace Hopper.jpg")
    shutil.copy(EILEEN, folder / "Eileen.jpg")
    (folder / "notes.txt").write_text("not a picture")

    assert enroll("-i", folder, "-e", file) == 0
    assert load_known(file).people == ["Eileen", "Grace Hopper"]


def test_one_picture(tmp_path, file):
    shutil.copy(GRACE, tmp_path / "Grace.jpg")
    assert enroll("-i", tmp_path / "Grace.jpg", "-e", file) == 0
    assert load_known(file).names == ("Grace",)


def test_add_remove_and_list(people, file, tmp_path, capsys):
    shutil.copy(GRACE, tmp_path / "Grace.jpg")
    enroll("-i", tmp_path / "Grace.jpg", "-e", file)

    assert enroll("-i", people, "-e", file, "--add") == 0
    # The picture enrolled first is among them and is not stored twice.
    assert "3 pictures enrolled, 1 known already" in capsys.readouterr().err
    assert len(load_known(file).names) == 4

    assert enroll("-e", file, "--remove", "Grace") == 0
    assert load_known(file).people == ["Eileen"]
    capsys.readouterr()
    assert enroll("-e", file) == 0
    assert capsys.readouterr().out == "Eileen: 2 pictures\n"


def test_existing_file_is_not_replaced(people, file, capsys):
    file.write_bytes(b"precious")
    assert enroll("-i", people, "-e", file) == 1
    assert "--add adds to it" in capsys.readouterr().err
    assert file.read_bytes() == b"precious"


def test_removing_a_stranger(file, capsys):
    save_known(file, KnownFaces(("a",), np.zeros((1, 128))))
    assert enroll("-e", file, "--remove", "b") == 1
    assert "'b' is not in" in capsys.readouterr().err
    assert load_known(file).people == ["a"]


def blank(image):
    return np.full_like(image, 128)


def tiny(image):
    small = cv2.resize(image, None, fx=0.22, fy=0.22, interpolation=cv2.INTER_AREA)
    around = (100, 100, 100, 100)
    return cv2.copyMakeBorder(small, *around, cv2.BORDER_REPLICATE)


def blurred(image):
    return cv2.GaussianBlur(image, (0, 0), 7)


def upside_down(image):
    return image[::-1, ::-1].copy()


def two(image):
    return np.hstack([image, image])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (blank, "no face, expected one"),
        (tiny, "too small"),
        (blurred, "blurred"),
        (two, "2 faces, expected one"),
        (upside_down, "upside down"),
    ],
    ids=["no face", "small", "blurred", "two", "upside down"],
)
def test_unfit_pictures_are_named_and_left_out(people, file, capsys, spoil, message):
    bad = people / "Grace" / "bad.png"
    write_image(bad, spoil(read_image(GRACE)))

    assert enroll("-i", people, "-e", file) == 1

    error = capsys.readouterr().err
    assert message in error
    assert str(bad) in error
    assert len(load_known(file).names) == 4  # the good ones are in


def test_somebody_behind_does_not_keep_a_picture_out(people, file, capsys):
    image = cv2.resize(read_image(GRACE_TOO), (1280, 960))
    image[:300, -400:] = cv2.resize(read_image(EILEEN), (400, 300))
    picture = people / "Grace" / "queue.png"
    write_image(picture, image)

    assert enroll("-i", people, "-e", file) == 0

    assert f"{picture}: 1 smaller face skipped" in capsys.readouterr().err
    known = load_known(file)
    assert known.names.count("Grace") == 3
    distances = np.linalg.norm(known.encodings - known.encodings[-1], axis=1)
    assert distances[[n == "Grace" for n in known.names]].max() < 0.4


def test_picture_that_is_none(people, file, capsys):
    (people / "Grace" / "text.jpg").write_text("hello")
    assert enroll("-i", people, "-e", file) == 1
    assert "not an image file" in capsys.readouterr().err


def test_somebody_else_in_a_persons_folder(people, file, capsys):
    shutil.copy(EILEEN, people / "Grace" / "other.jpg")

    assert enroll("-i", people, "-e", file) == 1

    error = capsys.readouterr().err
    assert "two people with the same name?" in error
    assert "other.jpg" in error
    assert load_known(file).names.count("Grace") == 2


def test_lookalikes_are_reported(people, file, capsys):
    assert enroll("-i", people, "-e", file, "--tolerance", "0.8") == 0
    assert "Eileen and Grace look alike: distance 0.6" in capsys.readouterr().err


def test_nothing_usable_leaves_no_file(tmp_path, file, capsys):
    folder = tmp_path / "people"
    (folder / "Nobody").mkdir(parents=True)
    assert enroll("-i", folder, "-e", file) == 1
    assert "Nobody: no picture could be enrolled" in capsys.readouterr().err
    assert not file.exists()


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_no_people(tmp_path, file, capsys, name):
    (tmp_path / "empty").mkdir()
    assert enroll("-i", tmp_path / name, "-e", file) == 1
    assert "one subfolder per person" in capsys.readouterr().err
    assert not file.exists()


@pytest.mark.parametrize("other", ["Grace.jpg", "grace"])
def test_two_entries_with_one_name(people, file, capsys, other):
    if other.endswith(".jpg"):
        shutil.copy(GRACE, people / other)
    else:
        try:
            (people / other).mkdir()
        except FileExistsError:
            pytest.skip("this file system does not tell upper from lower case")
    assert enroll("-i", people, "-e", file) == 1
    assert "two people with the same name" in capsys.readouterr().err
    assert not file.exists()


def test_a_name_that_differs_by_case_from_a_known_one(file, tmp_path, capsys):
    save_known(file, KnownFaces(("grace",), np.zeros((1, 128))))
    shutil.copy(GRACE, tmp_path / "Grace.jpg")
    assert enroll("-i", tmp_path / "Grace.jpg", "-e", file, "--add") == 1
    assert "'Grace' and 'grace'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a\\b", "a\nb"])
def test_unusable_names(tmp_path, file, capsys, name):
    (tmp_path / "people" / name).mkdir(parents=True)
    assert enroll("-i", tmp_path / "people", "-e", file) == 1
    assert "not a valid name" in capsys.readouterr().err


def test_removing_a_name_with_a_slash(file, capsys):
    save_known(file, KnownFaces(("a",), np.zeros((1, 128))))
    assert enroll("-e", file, "--remove", "a/b") == 1
    assert "not a valid name" in capsys.readouterr().err


def test_report(people, file, tmp_path, capsys):
    enroll("-i", people, "-e", file)
    capsys.readouterr()

    assert enroll("-e", file, "--report", tmp_path / "report.png") == 0

    output = capsys.readouterr().out
    assert "2 of one person, 4 of two" in output
    assert "     0.60    0.0%    0.0%" in output
    assert read_image(tmp_path / "report.png").shape[1] > 600


@pytest.mark.parametrize(
    ("options", "marked"), [((), 0.5), (("--tolerance", 0.4), 0.4)]
)
def test_report_marks_the_tolerance_in_use(
    people, file, tmp_path, monkeypatch, options, marked
):
    enroll("-i", people, "-e", file)
    given = []
    monkeypatch.setattr(
        "liveness.evaluation.plots.save_match_rates",
        lambda *_, tolerance: given.append(tolerance),
    )
    enroll("-e", file, "--report", tmp_path / "report.png", *options)

    assert given == [marked]


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("missing/report.png", "no folder for"),
        ("known faces", "is a folder"),
        ("encodings.npz", "two files would be written"),
        ("known faces/Grace/1.jpg", "is an input and would be overwritten"),
    ],
)
def test_report_that_cannot_be_written_is_refused_before_enrolling(
    people, file, tmp_path, capsys, report, message
):
    assert enroll("-i", people, "-e", file, "--report", tmp_path / report) == 1
    assert message in capsys.readouterr().err
    assert not file.exists()


def test_report_does_not_replace_the_people(people, file, capsys):
    file.write_bytes(b"x")
    assert enroll("-e", file, "--report", file) == 1
    assert "is an input and would be overwritten" in capsys.readouterr().err


def test_report_needs_pairs(file, tmp_path, capsys):
    save_known(file, KnownFaces(("a",), np.zeros((1, 128))))
    assert enroll("-e", file, "--report", tmp_path / "report.png") == 1
    assert "no error rates" in capsys.readouterr().err
    assert not (tmp_path / "report.png").exists()


def test_help_is_quick():
    started = time.monotonic()
    command = [sys.executable, str(ROOT / "enroll_faces.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert "--report PNG" in done.stdout
    assert time.monotonic() - started < 2  # numpy and cv2 alone take longer when busy


def test_files_that_are_no_pictures_are_counted(tmp_path, caplog):
    for name in ("anna.gif", "ben.heic", "carl.psd", "notes.txt", "more.txt"):
        (tmp_path / name).touch()
    caplog.set_level("INFO", logger="liveness")
    assert set(find_people(tmp_path)) == {"anna", "ben"}
    assert "only pictures are read; skipped: 2 .txt, 1 .psd" in caplog.text
