"""The README's workflow as a user runs it: processes in a copy of the checkout."""

import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from docs.console import copy_checkout
from ip_webcam_server import FakePhone, part
from liveness.constants import ROOT
from liveness.data.dataset import read_crop, read_dataset
from liveness.faces.crops import crop_face
from liveness.io.images import read_image

SCRIPTS = sorted(path.name for path in ROOT.glob("*.py") if path.stem != "livenessnet")
COLLECTING = (
    "collect_dataset.py -i videos/fake_1.mp4 -o dataset/fake -d face_detector -c 0.5 "
    "-s 15",
    "collect_dataset.py -i videos/real_1.mp4 -o dataset/real -d face_detector -c 0.5 "
    "-s 15",
    "face_from_image.py -i images/fakes/2.jpg -o dataset/fake -d face_detector -c 0.5",
    "face_from_image.py -i images/reals/1.jpg -o dataset/real -d face_detector -c 0.5",
)
TRAINING = (
    "train_model.py -d dataset -m liveness.model -l label_encoder.pickle -p plot.png",
    "train_model.py -d dataset -m liveness.h5 -l label_encoder.pickle -p plot.png "
    "-c cm.png",
)
PICTURE = "liveness_app_from_picture.py -i images/reals/1.jpg -c 0.5"
VERDICT = re.compile(r"images/reals/1\.jpg: (real|fake)  score [01]\.\d{3} ")


def start(folder: Path, line: str) -> subprocess.CompletedProcess:
    """Run a line of the README, less its "python", in a folder without a screen."""
    screenless = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY")
    }
    return subprocess.run(
        [sys.executable, *shlex.split(line)],
        cwd=folder,
        env=screenless,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return copy_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """A copy whose dataset the collecting commands made anew, and their answers."""
    folder = copy_checkout(tmp_path_factory.mktemp("collected"))
    shutil.rmtree(folder / "dataset")
    return folder, [start(folder, line) for line in COLLECTING]


@pytest.fixture(scope="module")
def trained(collected):
    """The same after both training commands, with few epochs."""
    folder = collected[0]
    return folder, [
        start(folder, f"{line} --epochs {epochs}")
        for line, epochs in zip(TRAINING, (1, 2), strict=True)
    ]


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "crops.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("script", SCRIPTS)
def test_help(script):
    done = start(ROOT, f"{script} --help")
    assert done.returncode == 0 and done.stdout.startswith(f"usage: {script}")
    assert done.stderr == ""


@pytest.mark.parametrize("line", COLLECTING)
def test_collecting_into_the_shipped_dataset_says_that_it_is_there(checkout, line):
    done = start(checkout, line)
    assert done.returncode == 0
    assert "already collected" in done.stderr
    assert done.stdout.endswith("saved: 0, already collected: 1\n")


def test_collecting_anew_gives_the_shipped_crops(collected):
    folder, runs = collected
    assert [done.returncode for done in runs] == [0] * 4
    assert [done.stdout.partition("saved: ")[2] for done in runs] == [
        *("7\n", "7\n", "1\n", "1\n")
    ]
    for label in ("real", "fake"):
        shipped = rows_of(ROOT / "dataset" / label)[:8]
        made = rows_of(folder / "dataset" / label)
        for name in ("file", "source", "frame", "scale"):
            assert [row[name] for row in made] == [row[name] for row in shipped]


def test_collector_training_and_app_see_the_same_pixels(collected, monkeypatch):
    from liveness.model import classifier as module

    folder = collected[0]
    image = read_image(folder / "images/reals/1.jpg")
    (row,) = [r for r in rows_of(folder / "dataset/real") if r["source"][:2] == "1."]
    box = tuple(int(row[name]) for name in ("x_min", "y_min", "x_max", "y_max"))
    collected_crop = read_image(folder / "dataset/real" / row["file"])
    (sample,) = [
        sample
        for sample in read_dataset([folder / "dataset"])
        if sample.path == folder / "dataset/real" / row["file"]
    ]
    scored = []

    def crop_and_keep(*arguments, **options):
        scored.append(crop_face(*arguments, **options))
        return scored[-1]

    monkeypatch.setattr(module, "crop_face", crop_and_keep)
    card = module.ModelCard(16, (1.0,), sample.crop_scale, threshold=0.5)
    network = module.LoadedModel(lambda batch: np.full((len(batch), 2), 0.5), card)
    judge = module.LivenessClassifier(network, card.labels, name="test")
    judge.classify(image, [box])
    np.testing.assert_array_equal(collected_crop, scored[0])
    np.testing.assert_array_equal(read_crop(sample), scored[0])


def test_training_writes_what_it_says(trained):
    folder, runs = trained
    for done in runs:
        assert done.returncode == 0, done.stderr
        assert "too few faces" in done.stdout and "threshold" in done.stdout
        assert "Traceback" not in done.stderr
    for name in (
        *("liveness.model", "liveness.h5", "label_encoder.pickle", "liveness.json"),
        *("plot.png", "confusion_matrix.png", "cm.png"),
    ):
        assert (folder / name).stat().st_size > 0
        assert f"{name}" in runs[0].stdout + runs[1].stdout


def test_app_takes_ones_own_model_once_it_is_trained(trained):
    done = start(trained[0], PICTURE)
    assert done.returncode == 0, done.stderr
    assert VERDICT.match(done.stdout)
    assert f"'{trained[0] / 'liveness.h5'}'" in done.stderr
    assert "tensorflow" not in done.stderr.lower()  # the runtime file was used


def test_video_with_ones_own_model(trained):
    source = "liveness_app.py --source videos/real_1.mp4 --no-display"
    done = start(trained[0], source)
    assert done.returncode == 0, done.stderr
    assert re.search(r"face 1  (real|fake)", done.stdout)


def test_phone_with_ones_own_model(trained):
    portrait = (ROOT / "images/reals/1.jpg").read_bytes()
    with FakePhone(fps=15, script=[lambda number: part(number, portrait)]) as phone:
        line = f"liveness_app_android.py -u {phone.url} -c 0.5 --no-display --once"
        done = start(trained[0], line)
    assert done.returncode in (0, 3), done.stderr  # real or fake: few epochs
    assert re.search(r"face 1  (real|fake)", done.stdout)


@pytest.mark.parametrize(
    "line",
    [
        "liveness_app.py -c 0.5",
        "liveness_app_android.py -u http://192.168.83.33:8080 -c 0.5",
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have a screen")
def test_without_a_screen_there_is_one_clear_line(trained, line):
    done = start(trained[0], line)
    assert done.returncode == 1
    assert re.fullmatch(r"error: no screen: .* --no-display .*\n", done.stderr)


def test_shipped_model_works_from_any_folder(checkout, tmp_path):
    if not (checkout / "models/liveness.h5").is_file():
        pytest.skip("models/ is empty: train_model.py -m models/liveness.h5 fills it")
    line = f"{checkout / 'liveness_app_from_picture.py'} -i 1.jpg -c 0.5"
    shutil.copy(ROOT / "images/reals/1.jpg", tmp_path)
    done = start(tmp_path, line)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1.jpg: ") and "score" in done.stdout
    assert str(checkout / "models") in done.stderr


def test_a_missing_package_is_one_line():
    """As where the environment is not active: -S is without its packages."""
    done = start(ROOT, "-S liveness_app_from_picture.py -i images/reals/1.jpg")

    assert done.returncode == 1
    assert re.fullmatch(
        "error: no module named '(cv2|numpy)': activate the environment, see README.md",
        done.stderr.strip(),
    )
