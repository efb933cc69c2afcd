"""Figures are PNG files that show the data they are given."""

from statistics import NormalDist

import cv2
import numpy as np
import pytest
from matplotlib.colors import same_color

from liveness.evaluation import plots
from liveness.evaluation.plots import (
    save_confusion_matrix,
    save_evaluation,
    save_history,
    save_match_rates,
)

HISTORY = {
    **{"loss": [0.7, 0.5, 0.4], "val_loss": [0.8, 0.6, 0.65]},
    **{"accuracy": [0.5, 0.7, 0.8], "val_accuracy": [0.5, 0.6, 0.7]},
}


# At 0.5 one attack of two is accepted, and one of three real faces refused.
SCORES = np.array([0.91, 0.61, 0.81, 0.11, 0.41])
ATTACKS = ["", "print", "", "replay", ""]
APCER = [0, 0, 0, 1 / 2, 1 / 2, 1]  # at thresholds above all scores, 0.91, 0.81 ...
BPCER = [1, 2 / 3, 1 / 3, 1 / 3, 0, 0]


@pytest.fixture
def figures(monkeypatch) -> list:
    """The figures that a test draws, instead of their files."""
    drawn = []
    monkeypatch.setattr(plots, "_save", lambda figure, _: drawn.append(figure))
    return drawn


def line_of(axes, label):
    """The one line with this label, as it is drawn."""
    (line,) = [one for one in axes.lines if one.get_label().startswith(label)]
    return line


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


def test_each_network_has_its_curves(tmp_path, figures):
    draw_history(tmp_path / "a.png", epochs=(3, 2))

    for axes in figures[0].axes:
        epochs = [list(line.get_xdata()) for line in axes.lines]
        assert epochs == [[1, 2, 3], [1, 2, 3], [1, 2], [1, 2]]
        assert "validation, network 2" in axes.get_legend_handles_labels()[1]


def test_history_shows_training_and_validation(tmp_path, figures):
    draw_history(tmp_path / "a.png")

    loss, accuracy = figures[0].axes
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
    assert list(line_of(loss, "training").get_ydata()) == [0.7, 0.5, 0.4]
    assert list(line_of(loss, "validation").get_ydata()) == [0.8, 0.6, 0.65]
    assert list(line_of(accuracy, "training").get_ydata()) == [0.5, 0.7, 0.8]
    assert list(line_of(accuracy, "validation").get_ydata()) == [0.5, 0.6, 0.7]


def test_confusion_matrix_has_the_truth_in_its_rows(tmp_path, figures):
    truth = np.array([True] * 5 + [False] * 7)
    accepted = np.array([True] * 3 + [False] * 8 + [True])
    save_confusion_matrix(tmp_path / "a.png", truth, accepted)

    (axes,) = figures[0].axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("verdict", "truth")
    for axis in (axes.xaxis, axes.yaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == ["fake", "real"]
    # Fakes: 6 refused, 1 accepted. Real faces: 2 refused, 3 accepted.
    np.testing.assert_array_equal(axes.images[0].get_array(), [[6, 1], [2, 3]])
    numbers = {text.get_position(): text.get_text() for text in axes.texts}
    assert numbers == {(0, 0): "6", (1, 0): "1", (0, 1): "2", (1, 1): "3"}


@pytest.fixture
def evaluation(tmp_path, figures):
    """Axes of the DET curve, the ROC and the histograms at a threshold of 0.5."""
    save_evaluation(tmp_path / "a.png", SCORES, ATTACKS, threshold=0.5)
    return figures[0].axes


def test_det_curve_is_bpcer_over_apcer_on_normal_deviates(evaluation):
    det = evaluation[0]
    assert (det.get_xlabel(), det.get_ylabel()) == ("APCER", "BPCER")
    curve, mark = det.lines[0], line_of(det, "threshold")
    deviates = np.transpose([curve.get_xdata(), curve.get_ydata()])
    rates = np.vectorize(NormalDist().cdf)(deviates)
    np.testing.assert_allclose(rates, np.transpose([APCER, BPCER]), atol=1e-9)
    assert NormalDist().cdf(mark.get_xdata()[0]) == pytest.approx(1 / 2)
    assert NormalDist().cdf(mark.get_ydata()[0]) == pytest.approx(1 / 3)
    # Closest to each other at 1/2 and 1/3.
    equal = line_of(det, "EER")
    assert equal.get_label() == "EER 41.7%"
    np.testing.assert_array_equal(equal.get_xdata(), equal.get_ydata())
    ticks = dict(zip(det.get_xticks(), det.get_xticklabels(), strict=True))
    assert ticks[0].get_text() == "50%"


def test_roc_curve_is_accepted_faces_over_accepted_attacks(evaluation):
    roc = evaluation[1]
    assert (roc.get_xlabel(), roc.get_ylabel()) == ("APCER", "1 - BPCER")
    curve, mark = line_of(roc, "AUC"), line_of(roc, "threshold")
    np.testing.assert_allclose(curve.get_xdata(), APCER)
    np.testing.assert_allclose(curve.get_ydata(), [0, 1 / 3, 2 / 3, 2 / 3, 1, 1])
    assert curve.get_label() == "AUC = 0.83"  # 5 of 6 pairs in the right order
    assert mark.get_xydata()[0] == pytest.approx((1 / 2, 2 / 3))


def test_histograms_show_the_scores_of_their_label(evaluation):
    histogram = evaluation[2]
    bars = {bars[0].get_label(): bars for bars in histogram.containers}
    expected = {
        "real (3)": ({0.91: 100 / 3, 0.81: 100 / 3, 0.41: 100 / 3}, "tab:green"),
        "fake (2)": ({0.61: 50, 0.11: 50}, "tab:red"),
    }
    assert bars.keys() == expected.keys()
    for label, (heights, colour) in expected.items():
        assert all(same_color(b.get_facecolor()[:3], colour) for b in bars[label])
        for bar in bars[label]:
            left, right = bar.get_x(), bar.get_x() + bar.get_width()
            inside = [height for x, height in heights.items() if left <= x < right]
            assert bar.get_height() == pytest.approx(sum(inside))
    line = line_of(histogram, "threshold")
    assert line.get_label() == "threshold 0.50"
    assert list(line.get_xdata()) == [0.5, 0.5]


def test_rates_of_zero_are_marked_on_the_edge_of_the_det_curve(tmp_path, figures):
    scores = np.array([0.9, 0.8, 0.1])
    save_evaluation(tmp_path / "a.png", scores, ["", "", "print"], threshold=0.5)

    det = figures[0].axes[0]
    mark = line_of(det, "threshold")
    assert mark.get_xdata() == pytest.approx([det.get_xlim()[0]])
    assert mark.get_ydata() == pytest.approx([det.get_ylim()[0]])
    assert not mark.get_clip_on()


@pytest.mark.parametrize("tolerance", [0.4, 0.62])
def test_match_rates_cross_and_the_tolerance_in_use_is_marked(
    tmp_path, figures, tolerance
):
    same, different = np.array([0.2, 0.31, 0.55, 0.6]), np.array([0.45, 0.9])
    save_match_rates(tmp_path / "a.png", same, different, tolerance=tolerance)

    (axes,) = figures[0].axes
    fmr, fnmr = line_of(axes, "FMR"), line_of(axes, "FNMR")
    assert fmr.get_label() == "FMR: others accepted (2 pairs)"
    assert fnmr.get_label() == "FNMR: owner rejected (4 pairs)"
    at = [0.1, 0.25, 0.5, 0.7, 0.95]
    for line, rates in ((fmr, [0, 0, 50, 50, 100]), (fnmr, [100, 75, 50, 0, 0])):
        assert list(np.interp(at, line.get_xdata(), line.get_ydata())) == rates
    mark = line_of(axes, "tolerance")
    assert mark.get_label() == f"tolerance {tolerance}"
    assert list(mark.get_xdata()) == [tolerance, tolerance]


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
