"""Figures are PNG files with something in them, whatever the data."""

import cv2
import numpy as np
import pytest

from liveness.evaluation import plots
from liveness.evaluation.plots import (
    save_confusion_matrix,
    save_evaluation,
    save_history,
)

HISTORY = {
    **{"loss": [0.7, 0.5, 0.4], "val_loss": [0.8, 0.6, 0.65]},
    **{"accuracy": [0.5, 0.7, 0.8], "val_accuracy": [0.5, 0.6, 0.7]},
}


def draw_history(path, epochs=(3,)):
    save_history(
        path,
        [{name: values[:last] for name, values in HISTORY.items()} for last in epochs],
    )


def draw_matrix(path, faces=40):
    rng = np.random.default_rng(0)
    truth = rng.random(faces) < 0.5
    save_confusion_matrix(path, truth, truth ^ (rng.random(faces) < 0.2))


def draw_evaluation(path, threshold=0.5):
    rng = np.random.default_rng(0)
    attacks = np.array([""] * 60 + ["print"] * 30 + ["replay"] * 30)
    scores = np.where(attacks == "", rng.beta(5, 2, 120), rng.beta(2, 5, 120))
    save_evaluation(path, scores, list(attacks), threshold=threshold)


@pytest.mark.parametrize(
    "draw", [draw_history, draw_matrix, draw_evaluation], ids=lambda f: f.__name__
)
def test_figure_is_a_png_with_ink(tmp_path, draw):
    path = tmp_path / "figure ü.png"
    draw(path)

    assert path.read_bytes().startswith(b"\x89PNG")
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert min(picture.shape[:2]) > 300
    assert picture[0, 0].min() == 255  # on white
    assert 0.01 < (picture < 200).any(axis=2).mean() < 0.9
    draw(path)  # over an earlier one
    assert [name.name for name in tmp_path.iterdir()] == ["figure ü.png"]


def test_one_epoch_and_one_class_are_drawn(tmp_path):
    draw_history(tmp_path / "a.png", epochs=[1])
    save_confusion_matrix(tmp_path / "b.png", np.array([True]), np.array([True]))

    assert all(cv2.imread(str(tmp_path / n)) is not None for n in ("a.png", "b.png"))


def test_each_network_has_its_curves(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "_save", lambda figure, _: drawn.append(figure))
    draw_history(tmp_path / "a.png", epochs=(3, 2))

    for axes in drawn[0].axes:
        epochs = [list(line.get_xdata()) for line in axes.lines]
        assert epochs == [[1, 2, 3], [1, 2, 3], [1, 2], [1, 2]]
        assert "validation, network 2" in axes.get_legend_handles_labels()[1]


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_threshold_beyond_all_scores_is_drawn(tmp_path, threshold):
    draw_evaluation(tmp_path / "a.png", threshold=threshold)

    assert cv2.imread(str(tmp_path / "a.png")) is not None


def test_perfect_scores_are_drawn(tmp_path):
    scores = np.array([1.0, 1.0, 0.0])
    save_evaluation(tmp_path / "a.png", scores, ["", "", "print"], threshold=0.5)

    assert cv2.imread(str(tmp_path / "a.png")) is not None


def test_missing_folder_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        draw_history(tmp_path / "no" / "a.png")
