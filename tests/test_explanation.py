"""Where a verdict comes from: what is marked matters, and is said and drawn."""

import json

import cv2
import numpy as np
import pytest

import liveness_app_from_picture
from liveness.cli.run import run
from liveness.constants import ROOT
from liveness.io.images import read_image
from liveness.model.explanation import Explanation, cover, draw_heat, explain
from liveness.workflow.judge import Judging, load_judge

MODEL = ROOT / "models/liveness.h5"
LEAST = 1e-6


def logit(score: float) -> float:
    score = min(max(float(score), LEAST), 1 - LEAST)
    return float(np.log(score / (1 - score)))


@pytest.fixture(scope="module")
def judge():
    if not MODEL.is_file():
        pytest.skip("the shipped model is absent")
    return load_judge(Judging(model=MODEL))


@pytest.fixture(scope="module")
def faces(judge):
    """Crop, explanation and verdict of faces in example pictures and films."""
    images = [read_image(path) for path in sorted(ROOT.glob("images/*/*.jpg"))]
    for film in ("real_1", "fake_1"):
        video = cv2.VideoCapture(str(ROOT / f"videos/{film}.mp4"))
        images.append([video.read()[1] for _ in range(40)][-1])
    explained = []
    for image in images:
        face = judge.judge(image)[0]
        explained.append((judge.crop(image, face), judge.explain(image, face), face))
    return explained


def test_the_marked_tenth_changes_the_score_more_than_a_random_one(judge, faces):
    rng = np.random.default_rng(0)
    wins = 0
    for crop, explanation, _ in faces:
        assert explanation.marked.mean() == pytest.approx(0.1)
        before = logit(judge.classifier.score_crops([crop])[0])

        def change(cells, crop=crop, before=before):
            (score,) = judge.classifier.score_crops([cover(crop, cells)])
            return abs(logit(score) - before)

        random = []
        for _ in range(8):
            cells = np.zeros(100, bool)
            cells[rng.choice(100, 10, replace=False)] = True
            random.append(change(cells.reshape(10, 10)))
        wins += change(explanation.marked) > np.mean(random)
    assert len(faces) == 10 and wins >= 9


def test_the_map_and_the_views_speak_for_the_verdict(faces):
    for _, explanation, face in faces:
        assert explanation.is_real == (face.label == "real")
        side = 1 if explanation.is_real else -1
        assert side * explanation.heat[explanation.marked].mean() > 0
        assert explanation.sentence.startswith(face.label)
        assert [scale for scale, _ in explanation.views] == [0.68, 1.6, 2.7]


def test_a_covered_part_is_blurred_and_the_rest_is_not(faces):
    crop = faces[0][0]
    cells = np.zeros((10, 10), bool)
    cells[5, 5] = True
    side = crop.shape[0]
    changed = (cover(crop, cells) != crop).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(0))
    assert 0.48 * side < rows.min() and rows.max() < 0.62 * side
    assert 0.48 * side < columns.min() and columns.max() < 0.62 * side
    black = crop.copy()
    black[: side // 2] = 0
    assert not cover(black, np.ones((10, 10), bool))[: side // 2].any()


def test_the_map_is_green_where_it_speaks_for_real():
    heat = np.zeros((10, 10))
    heat[2, 2], heat[7, 7] = 1.0, -1.0
    crop = np.full((200, 200, 3), 128, np.uint8)
    drawn = draw_heat(crop, Explanation(True, heat, ((1.0, 1.0),))).astype(int)
    assert drawn[50, 50, 1] > drawn[50, 50, 2] + 50
    assert drawn[150, 150, 2] > drawn[150, 150, 1] + 50


def test_it_is_said_where_no_view_speaks_for_the_verdict():
    explanation = Explanation(False, np.zeros((10, 10)), ((0.68, 1.9), (2.7, 0.1)))
    assert explanation.sentence.startswith("no view says fake; the threshold decides")


def start(*options):
    given = [*map(str, options), "-m", str(MODEL)]
    return run(lambda: liveness_app_from_picture.main(given))


def test_the_app_says_it_and_draws_it(judge, tmp_path, capsys):
    picture = ROOT / "images/fakes/1.jpg"
    output = tmp_path / "out.png"
    assert start("-i", picture, "--explain", "--output", output) == 0
    line = capsys.readouterr().out.strip()
    assert "fake because of what is around the face (the face itself -" in line
    before, after = read_image(picture), read_image(output)
    assert after.shape == (before.shape[0], before.shape[1] + before.shape[0], 3)
    assert after[:, before.shape[1] :].std() > 10

    assert start("-i", picture, "--explain", "--json") == 0
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert np.array(face["explanation"]["heat"]).shape == (10, 10)
    assert [view["scale"] for view in face["explanation"]["views"]] == [0.68, 1.6, 2.7]


def test_nothing_is_explained_unasked(judge, capsys):
    assert start("-i", ROOT / "images/reals/1.jpg", "--json") == 0
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert "explanation" not in face


def test_a_model_of_one_view_is_explained(tmp_path, faces):
    from apps import save_tiny_model
    from liveness.model.classifier import LivenessClassifier

    save_tiny_model(tmp_path)
    tiny = LivenessClassifier.load(tmp_path / "liveness.h5", None)
    explanation = explain(tiny, faces[0][0])
    assert explanation.heat.shape == (10, 10) and len(explanation.views) == 1
