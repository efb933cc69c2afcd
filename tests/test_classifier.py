"""Face crops in, liveness scores out, with networks whose answer is known."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from liveness.errors import ModelError
from liveness.faces.crops import crop_face, model_input
from liveness.model.card import ModelCard
from liveness.model.classifier import BATCH_SIZE, LivenessClassifier
from liveness.model.loading import LoadedModel

ROOT = Path(__file__).resolve().parent.parent
CARD = ModelCard(input_size_px=8, view_scales=(1.0, 2.0), crop_scale=2.0, threshold=0.4)


class Brightness:
    """Network whose probability of "real" is the first view's mean."""

    runtime = "test"

    def __init__(self, scale=1.0):
        self.sizes = []
        self.scale = scale

    def __call__(self, batch):
        self.sizes.append(len(batch))
        real = batch[..., :3].mean(axis=(1, 2, 3))
        with np.errstate(invalid="ignore"):  # 0 times infinity
            return np.stack([1 - real, real], axis=1) * self.scale


def classifier(network=None, labels=("fake", "real"), **options):
    loaded = LoadedModel(network or Brightness(), CARD)
    return LivenessClassifier(loaded, labels, name="test", **options)


def picture():
    image = np.zeros((60, 100, 3), np.uint8)
    image[:, 50:] = 255
    return image


BOXES = [(10, 20, 30, 40), (70, 20, 90, 40)]


def test_classifies_all_boxes_in_one_batch_and_in_order():
    network = Brightness()
    dark, bright = classifier(network).classify(picture(), BOXES)
    assert (dark.label, dark.score) == ("fake", 0.0)
    assert (bright.label, bright.score) == ("real", pytest.approx(1.0))
    assert network.sizes == [2]


def test_no_boxes_give_no_predictions():
    assert classifier().classify(picture(), []) == []


def test_score_at_the_threshold_is_real():
    grey = np.full((40, 40, 3), 102, np.uint8)  # 102 / 255 is 0.4
    score = float(classifier().score_crops([grey])[0])
    for threshold, label in [(score, "real"), (np.nextafter(score, 1), "fake")]:
        made = classifier(threshold=threshold)
        image = np.full((200, 200, 3), 102, np.uint8)
        assert made.classify(image, [(80, 80, 120, 120)])[0].label == label
    assert classifier().threshold == CARD.threshold
    assert "0.400" in classifier().description


def test_follows_the_label_order():
    bright = np.full((20, 20, 3), 255, np.uint8)
    assert classifier(labels=("real", "fake")).score_crops([bright])[0] == 0


def test_two_sigmoids_are_brought_to_a_sum_of_one():
    grey = np.full((20, 20, 3), 51, np.uint8)
    halved, plain = classifier(Brightness(0.5)), classifier()
    np.testing.assert_allclose(halved.score_crops([grey]), plain.score_crops([grey]))
    assert classifier(Brightness(0.0)).score_crops([grey])[0] == 0


@pytest.mark.parametrize("scale", [1.5, -1.0, 1e38, np.nan, np.inf])
def test_outputs_that_are_no_probabilities_are_refused(scale):
    bright = np.full((20, 20, 3), 250, np.uint8)
    with pytest.raises(ModelError, match=r"model test gives .* expected probabilities"):
        classifier(Brightness(scale)).score_crops([bright])
    with pytest.raises(ModelError, match="no softmax"):
        classifier(Brightness(scale)).classify(picture(), BOXES)


def test_crops_and_boxes_give_the_same_scores():
    image = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)
    crops = [crop_face(image, box, scale=CARD.crop_scale) for box in BOXES]
    made = classifier()
    scores = [prediction.score for prediction in made.classify(image, BOXES)]
    np.testing.assert_array_equal(made.score_crops(crops), np.float32(scores))
    batch = model_input(crops, crop_scale=2.0, view_scales=(1.0, 2.0), side_px=8)
    np.testing.assert_allclose(scores, batch[..., :3].mean(axis=(1, 2, 3)), rtol=1e-5)


def test_long_lists_are_scored_in_bounded_batches():
    network = Brightness()
    crops = [np.full((9, 9, 3), value, np.uint8) for value in range(BATCH_SIZE + 3)]
    scores = classifier(network).score_crops(crops)
    assert network.sizes == [BATCH_SIZE, 3]
    np.testing.assert_allclose(scores, np.arange(BATCH_SIZE + 3) / 255, rtol=1e-4)


def test_import_leaves_heavy_libraries_alone():
    code = (
        "import sys, liveness.model.classifier\n"
        "print({'tensorflow', 'keras', 'sklearn', 'h5py'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert result.stdout.strip() == "set()", result.stderr
