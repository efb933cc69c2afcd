"""train_model.py --start-from: a trained model adapted to one camera."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import LabelEncoder

import train_model
from liveness.cli.run import run
from liveness.constants import ROOT
from liveness.data.dataset import Sample
from liveness.io.images import read_image
from liveness.model.classifier import LivenessClassifier
from liveness.workflow.collect import collect_faces

BASE = ROOT / "models/liveness.h5"


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A dataset of the example videos, as another camera would have filmed them."""
    if not BASE.is_file():
        pytest.skip("the shipped model is absent")
    folder = tmp_path_factory.mktemp("films")
    for film, place in (("real_1", "real"), ("fake_1", "fake/replay")):
        collect_faces([ROOT / f"videos/{film}.mp4"], folder / place, every_n_frames=9)
    return folder


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def start(*options):
        files = ["-m", "m.h5", "-l", "m.pickle", "-c", "cm.png"]
        return run(lambda: train_model.main([str(o) for o in (*files, *options)]))

    return start


@pytest.fixture(scope="module")
def swapped(films, tmp_path_factory):
    """The same faces with their labels exchanged: what no model would say."""
    folder = tmp_path_factory.mktemp("swapped")
    shutil.copytree(films / "real", folder / "fake/replay")
    shutil.copytree(films / "fake/replay", folder / "real")
    return folder


def test_it_learns_from_a_few_faces_what_it_did_not_know(
    start, swapped, tmp_path, capsys
):
    before = [path.read_bytes() for path in sorted((ROOT / "models").iterdir())]
    assert start("-d", swapped, "--start-from") == 0

    out = capsys.readouterr().out
    assert "your camera" in out and "wrote cm.png" in out
    card = json.loads((tmp_path / "m.json").read_text())
    base = json.loads(BASE.with_suffix(".json").read_text())
    assert card["started_from"] == f"liveness.h5, SHA-256 {base['model_sha256']}"
    assert card["trained_on"] == "12 real, 12 fake (12 replay)"
    assert card["view_scales"] == base["view_scales"]
    crops = {
        label: [read_image(path) for path in sorted((swapped / label).rglob("*.png"))]
        for label in ("real", "fake")
    }
    old = LivenessClassifier.load(BASE, None)
    new = LivenessClassifier.load(tmp_path / "m.h5", tmp_path / "m.pickle")
    wrong = np.mean(old.score_crops(crops["real"]) < old.threshold)
    still_wrong = np.mean(new.score_crops(crops["real"]) < new.threshold)
    assert wrong > 0.9 and still_wrong < 0.2
    assert np.mean(new.score_crops(crops["fake"]) >= new.threshold) < 0.2
    after = [path.read_bytes() for path in sorted((ROOT / "models").iterdir())]
    assert before == after


def test_what_it_knows_already_stays(start, films, tmp_path):
    assert start("-d", films, "--start-from", BASE) == 0
    new = LivenessClassifier.load(tmp_path / "m.h5", tmp_path / "m.pickle")
    old = LivenessClassifier.load(BASE, None)
    assert new.threshold == pytest.approx(old.threshold)
    assert not (tmp_path / "plot.png").exists()


def test_a_model_without_the_sums_is_adapted_with_a_warning(
    start, films, tmp_path, capsys
):
    shutil.copytree(BASE.parent, tmp_path / "base")
    (tmp_path / "base/liveness.moments.npz").write_bytes(b"damaged")
    assert start("-d", films, "--start-from", tmp_path / "base/liveness.h5") == 0
    assert "warning: no '" in (err := capsys.readouterr().err)
    assert "other cameras may get worse" in err
    assert not (tmp_path / "m.moments.npz").exists()


def test_sums_of_the_faces_that_trained_hold_their_logits():
    from liveness.training.adaptation import Features, fit_correction
    from liveness.training.moments import second_moments

    rng = np.random.default_rng(0)
    trained = rng.standard_normal((500, 20)) @ rng.standard_normal((20, 20))
    samples = faces("real", "a.mp4", range(30)) + faces("fake", "b.mp4", range(30))
    values = rng.standard_normal((60, 20))
    values[:30] += 0.7 * rng.standard_normal(20)
    features = Features(values, np.full(60, -2.0))

    def change(moments) -> float:
        correction = fit_correction(features, samples, threshold=0.5, moments=moments)
        return np.abs(trained @ correction.weights + correction.bias).mean()

    held, free = change(second_moments(trained)), change(None)
    assert held < 0.5 * free


def test_an_own_model_can_be_adapted_further(start, films, tmp_path):
    """As train_model.py writes it: with the sums of the faces that it trained on."""
    first = ["-d", films, "-m", "own.h5", "-p", "p.png", "--epochs", "1"]
    assert start(*first) == 0
    assert (tmp_path / "own.moments.npz").is_file()
    shutil.copy(tmp_path / "m.pickle", tmp_path / "label_encoder.pickle")
    assert start("-d", films, "--start-from", "own.h5") == 0
    moments = np.load(tmp_path / "m.moments.npz")
    own = np.load(tmp_path / "own.moments.npz")
    np.testing.assert_array_equal(moments["moments"], own["moments"])
    assert moments["model"] != own["model"]


def test_the_same_faces_give_the_same_model(start, films, tmp_path):
    for name in ("a", "b"):
        assert start("-d", films, "--start-from", "-m", f"{name}.h5") == 0
    crops = [read_image(path) for path in sorted(films.rglob("*.png"))]
    first, second = (
        LivenessClassifier.load(tmp_path / f"{name}.h5", tmp_path / "m.pickle")
        for name in "ab"
    )
    np.testing.assert_allclose(
        first.score_crops(crops), second.score_crops(crops), atol=1e-5
    )


def test_real_faces_alone_adapt_with_simulated_attacks(start, films, tmp_path):
    only = tmp_path / "only"
    shutil.copytree(films / "real", only / "real")
    assert start("-d", only, "--start-from", "--simulate-attacks") == 0
    card = json.loads((tmp_path / "m.json").read_text())
    assert card["trained_on"].startswith("12 real, 24 fake")


def one_line(capsys):
    (line,) = [
        line
        for line in capsys.readouterr().err.splitlines()
        if line.startswith("error: ")
    ]
    return line


def test_one_class_is_refused(start, films, tmp_path, capsys):
    only = tmp_path / "only"
    shutil.copytree(films / "real", only / "real")
    assert start("-d", only, "--start-from") == 1
    assert "has no fake faces" in one_line(capsys)
    assert not (tmp_path / "m.h5").exists()


def test_few_faces_are_refused(start, films, tmp_path, capsys):
    few = shutil.copytree(films, tmp_path / "few")
    for path in list((few / "real").glob("*.png"))[:5]:
        path.unlink()
    assert start("-d", few, "--start-from") == 1
    assert "only 7 real faces to adapt to, expected 10 or more" in one_line(capsys)


def test_another_order_of_labels_is_refused(start, films, tmp_path, capsys):
    shutil.copytree(BASE.parent, tmp_path / "base")
    encoder = LabelEncoder().fit(["fake", "real"])
    encoder.classes_ = np.array(["real", "fake"])
    (tmp_path / "base/label_encoder.pickle").write_bytes(pickle.dumps(encoder))
    assert start("-d", films, "--start-from", tmp_path / "base/liveness.h5") == 1
    assert "labels are in the order real, fake" in one_line(capsys)


def test_a_model_of_another_shape_is_refused(start, films, tmp_path, capsys):
    from apps import save_tiny_model

    (tmp_path / "old").mkdir()
    save_tiny_model(tmp_path / "old")
    assert start("-d", films, "--start-from", tmp_path / "old/liveness.h5") == 1
    assert "cannot adapt this model" in one_line(capsys)


@pytest.mark.parametrize("option", [("--epochs", "5"), ("--resume",)])
def test_options_of_a_training_do_not_go_with_it(start, films, capsys, option):
    with pytest.raises(SystemExit) as caught:
        start("-d", films, "--start-from", *option)
    assert caught.value.code == 2
    assert f"{option[0]} does not go with --start-from" in capsys.readouterr().err


def test_the_base_is_never_replaced(start, films, tmp_path, capsys):
    shutil.copytree(BASE.parent, tmp_path / "base")
    base = tmp_path / "base/liveness.h5"
    options = ["--start-from", base, "-m", base]
    assert start("-d", films, *options) == 1
    assert "is an input and would be overwritten" in one_line(capsys)


def faces(label, source, frames):
    return [Sample(Path("1.png"), label, "", ".", source, frame) for frame in frames]


def test_parts_share_no_film_where_there_are_several():
    from liveness.training.adaptation import PARTS, parts_of

    samples = [
        sample
        for number in range(6)
        for sample in faces("real", f"{number}.mp4", range(3))
    ]
    samples += faces("fake", "one.mp4", range(20))
    parts = parts_of(samples)
    assert PARTS == 5 and set(parts[18:]) == set(range(5))
    for number in range(6):
        assert len(set(parts[3 * number : 3 * number + 3])) == 1
    assert list(parts[18:]) == sorted(parts[18:])  # one film: by time


def test_threshold_moves_only_for_a_gain():
    from liveness.training.adaptation import choose_threshold

    is_real = np.array([True] * 10 + [False] * 10)
    apart = np.array([0.9] * 10 + [0.1] * 10)
    assert choose_threshold(apart, is_real, 0.7) == pytest.approx(0.7)
    shifted = np.array([0.6] * 10 + [0.1] * 10)
    moved = choose_threshold(shifted, is_real, 0.7)
    assert 0.1 < moved < 0.6
