"""review_dataset.py: crops and their rows leave or change folders together."""

import csv

import cv2
import numpy as np
import pytest

import collect_dataset
import face_from_image
import review_dataset
from liveness.cli.run import run
from liveness.constants import ROOT
from liveness.data.crops_folder import DatasetFolder
from liveness.data.dataset import read_dataset
from liveness.io.images import read_image

FILM = ROOT / "videos/real_1.mp4"


def start(*options, script=review_dataset):
    return run(lambda: script.main([str(option) for option in options]))


def rows_of(folder):
    with (folder / "crops.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def dataset(tmp_path):
    """Seven crops of a film in real/, and two of a picture in fake/."""
    fakes = [ROOT / "images/fakes/1.jpg", ROOT / "images/fakes/2.jpg"]
    collected = start("-i", FILM, "-o", tmp_path / "real", script=collect_dataset)
    taken = start("-i", *fakes, "-o", tmp_path / "fake", script=face_from_image)
    assert (collected, taken) == (0, 0)
    return tmp_path


def test_deleted_crops_take_their_rows_with_them(dataset, capsys):
    before = rows_of(dataset / "real")
    assert start("--delete", dataset / "real/2.png", dataset / "real/5.png") == 0
    assert "deleted: 2" in capsys.readouterr().out
    kept = [row for row in before if row["file"] not in ("2.png", "5.png")]
    assert rows_of(dataset / "real") == kept
    names = sorted(path.name for path in (dataset / "real").iterdir())
    assert names == sorted([*(row["file"] for row in kept), "crops.csv"])
    assert len(read_dataset([dataset])) == 7


def test_a_film_is_known_as_long_as_one_crop_of_it_is_there(dataset):
    crops = sorted((dataset / "real").glob("*.png"))
    assert start("--delete", *crops[:-1]) == 0
    again = ["-i", FILM, "-o", dataset / "real"]
    assert start(*again, script=collect_dataset) == 0
    assert len(rows_of(dataset / "real")) == 1
    assert start("--delete", crops[-1]) == 0
    assert start(*again, script=collect_dataset) == 0
    assert len(rows_of(dataset / "real")) == 7


def test_moved_crops_keep_picture_and_row(dataset):
    before = rows_of(dataset / "real")[2]
    picture = read_image(dataset / "real/3.png")
    assert start("--move", dataset / "real/3.png", dataset / "fake") == 0
    moved = rows_of(dataset / "fake")[-1]
    assert moved == before | {"file": "3.png"}
    np.testing.assert_array_equal(read_image(dataset / "fake/3.png"), picture)
    assert not (dataset / "real/3.png").exists()
    assert before not in rows_of(dataset / "real")
    labels = {sample.path: sample.label for sample in read_dataset([dataset])}
    assert labels[dataset / "fake/3.png"] == "fake" and len(labels) == 9


def test_they_move_to_a_new_folder_under_its_own_numbers(dataset):
    new = dataset / "fake/mask"
    assert start("--move", dataset / "real/7.png", dataset / "fake/2.png", new) == 0
    assert [row["file"] for row in rows_of(new)] == ["1.png", "2.png"]
    assert len(rows_of(dataset / "fake")) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--delete", "real/99.png"), "no crop 'real/99.png'"),
        (("--delete", "real/1.png", "real/none.png"), "no crop 'real/none.png'"),
        (("--delete", "real/new.png"), "has no row in 'real/crops.csv'"),
        (("--move", "real/1.png", "real"), "is in 'real' already"),
        (("--move", "real/1.png", "fake/1.png"), "output folder"),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    dataset, monkeypatch, capsys, options, words
):
    monkeypatch.chdir(dataset)
    cv2.imwrite("real/new.png", np.zeros((20, 20, 3), np.uint8))
    before = {path: path.read_bytes() for path in dataset.rglob("*.*")}
    capsys.readouterr()
    assert start(*options) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and words in line
    assert {path: path.read_bytes() for path in dataset.rglob("*.*")} == before


def test_another_run_in_the_folder_is_waited_for(dataset, capsys):
    with DatasetFolder(dataset / "real"):
        assert start("--delete", dataset / "real/1.png") == 1
    assert "another run is writing to" in capsys.readouterr().err
    assert (dataset / "real/1.png").is_file()


@pytest.mark.parametrize("options", [(), ("--move", "fake")])
def test_wrong_usage_ends_with_2(options):
    with pytest.raises(SystemExit) as caught:
        review_dataset.main(list(options))
    assert caught.value.code == 2


def test_a_sheet_shows_the_new_crops_alone(dataset, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    pictures = sorted((ROOT / "images/reals").glob("*.jpg"))
    options = ["-i", *pictures, "-o", dataset / "real", "--sheet", sheet]
    assert start(*options, script=face_from_image) == 0
    assert "with 4 of 4 crops" in capsys.readouterr().err
    shown = read_image(sheet)
    assert shown.shape == (2 * (96 + 14), 2 * 96, 3)
    small = cv2.resize(
        read_image(dataset / "real/9.png"), (96, 96), interpolation=cv2.INTER_AREA
    )
    np.testing.assert_array_equal(shown[:96, 96:], small)


@pytest.mark.parametrize("script", [collect_dataset, face_from_image])
@pytest.mark.parametrize(
    ("name", "words"), [("no/sheet.png", "no folder"), ("sheet.xyz", "sheet.xyz")]
)
def test_a_sheet_that_cannot_be_written_is_refused_first(
    script, tmp_path, capsys, name, words
):
    given = FILM if script is collect_dataset else ROOT / "images/reals/1.jpg"
    options = ["-i", given, "-o", tmp_path / "out", "--sheet", tmp_path / name]
    assert start(*options, script=script) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
