"""face_from_image.py as users run it, on real portraits."""

import csv
import shutil

import cv2
import numpy as np
import pytest
import skimage.data
from matplotlib.cbook import get_sample_data

from face_from_image import main
from liveness.cli.run import run
from liveness.faces.crops import crop_face
from liveness.io.images import read_image, write_image


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("Bilder von mir ü")
    write_image(folder / "1.png", skimage.data.astronaut()[:, :, ::-1].copy())
    shutil.copy(get_sample_data("grace_hopper.jpg", asfileobj=False), folder / "2.jpg")
    return folder


def call(*arguments):
    return run(lambda: main([str(argument) for argument in arguments]))


def test_best_faces_of_a_folder(pictures, tmp_path, capsys):
    assert call("-i", pictures, "-o", tmp_path) == 0
    summary = capsys.readouterr().out
    assert summary == "pictures read: 2, examined: 2, without a face: 0, saved: 2\n"
    with (tmp_path / "crops.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"].partition("#")[0] for row in rows] == ["1.png", "2.jpg"]
    for row in rows:
        image = read_image(pictures / row["source"].partition("#")[0])
        box = tuple(int(row[side]) for side in ("x_min", "y_min", "x_max", "y_max"))
        crop = crop_face(image, box, scale=float(row["scale"]))
        assert np.array_equal(read_image(tmp_path / row["file"]), crop)
        assert (row["frame"], row["time_s"]) == ("1", "0.000")


def test_same_picture_again_is_passed_over(pictures, tmp_path, capsys):
    assert call("-i", pictures / "1.png", "-o", tmp_path) == 0
    copy = tmp_path / "renamed.png"
    copy.write_bytes((pictures / "1.png").read_bytes())
    assert call("-i", copy, pictures / "1.png", "-o", tmp_path) == 0
    assert "saved: 0, already collected: 2" in capsys.readouterr().out


def test_bad_pictures_are_counted_and_the_rest_saved(pictures, tmp_path, capsys):
    (tmp_path / "text.jpg").write_text("hello")
    data = (pictures / "2.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.png").touch()
    names = ("text.jpg", "cut.jpg", "empty.png", "missing.jpg")
    bad = [tmp_path / name for name in names]
    assert call("-i", *bad, pictures / "1.png", "-o", tmp_path / "out") == 1
    output = capsys.readouterr()
    assert "saved: 1, unreadable: 4" in output.out
    assert len(output.err.splitlines()) == 4
    assert all(name in output.err for name in names)


def test_no_face_is_a_failure(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "dot.png"), np.zeros((1, 1, 3), np.uint8))
    assert call("-i", tmp_path / "dot.png", "-o", tmp_path / "out") == 1
    assert "nothing was saved" in capsys.readouterr().err


def test_a_face_upside_down_is_not_collected(pictures, tmp_path, capsys):
    image = read_image(pictures / "1.png")
    write_image(tmp_path / "turned.png", image[::-1, ::-1].copy())
    assert call("-i", tmp_path / "turned.png", "-o", tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert f"'{tmp_path / 'turned.png'}' is upside down or on its side" in captured.err
    assert not list(tmp_path.glob("out/*.png"))
