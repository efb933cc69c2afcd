"""The runtime file gives the scores of the Keras model that it was made from."""

import numpy as np
import pytest

from liveness.constants import ROOT
from liveness.faces.crops import crop_face, model_input
from liveness.faces.detector import FaceDetector
from liveness.io.images import list_images, read_image
from liveness.model.keras_files import load_keras_model
from liveness.model.loading import load_model
from liveness.model.networks import KerasNetwork, RuntimeNetwork
from liveness.model.paths import find_model

MODELS = ROOT / "models"

pytestmark = pytest.mark.skipif(
    not (MODELS / "liveness.h5").is_file(), reason="no shipped model in models/"
)


@pytest.fixture(scope="module")
def paths():
    return find_model(MODELS / "liveness.h5", None)


@pytest.fixture(scope="module")
def runtime(paths):
    loaded = load_model(paths)
    assert isinstance(loaded.network, RuntimeNetwork)
    return loaded


@pytest.fixture(scope="module")
def keras_network(paths):
    return KerasNetwork(load_keras_model(paths.model))


@pytest.fixture(scope="module")
def example_faces(runtime):
    """Batch of every face in the example pictures."""
    card = runtime.card
    detector = FaceDetector(ROOT / "face_detector")
    crops = []
    for path in list_images([ROOT / "images" / "reals", ROOT / "images" / "fakes"]):
        image = read_image(path)
        for face in detector.detect_still(image):
            crops.append(crop_face(image, face.box, scale=card.crop_scale))
    return model_input(
        crops,
        crop_scale=card.crop_scale,
        view_scales=card.view_scales,
        side_px=card.input_size_px,
    )


def assert_same_scores(batch, runtime, keras_network) -> None:
    expected, received = keras_network(batch), runtime.network(batch)
    assert received.shape == expected.shape == (len(batch), 2)
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-4)


def test_examples_score_the_same(example_faces, runtime, keras_network):
    assert len(example_faces) >= 8
    assert_same_scores(example_faces, runtime, keras_network)


@pytest.mark.parametrize("count", [1, 2, 33])
def test_random_input_scores_the_same(count, runtime, keras_network):
    shape = (count, *runtime.card.input_shape)
    batch = np.random.default_rng(count).random(shape, dtype=np.float32)
    assert_same_scores(batch, runtime, keras_network)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white_score_the_same(value, runtime, keras_network):
    batch = np.full((1, *runtime.card.input_shape), value, np.float32)
    assert_same_scores(batch, runtime, keras_network)
