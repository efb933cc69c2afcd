"""The network: form, outputs, size, and that both file formats keep it."""

import numpy as np
import pytest

from liveness.model.keras_files import load_keras_model
from livenessnet import LOGITS, LivenessNet

MAX_WEIGHTS = 1_000_000  # 10 ms for a face on two cores


def batch_for(model, count: int = 2) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.random((count, *model.input_shape[1:]), dtype=np.float32)


@pytest.fixture(scope="module")
def model():
    import keras

    keras.utils.set_random_seed(1)
    return LivenessNet.build(80, 80, 6, 2)


def test_shapes_and_size(model):
    assert model.input_shape == (None, 80, 80, 6)
    assert model.output_shape == (None, 2)
    # Two of them, averaged, are what ships.
    assert 10_000 < 2 * model.count_params() < MAX_WEIGHTS


def test_outputs_are_probabilities(model):
    outputs = np.asarray(model(batch_for(model)))

    assert outputs.dtype == np.float32
    assert (outputs >= 0).all()
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-6)


def test_every_view_counts(model):
    batch = batch_for(model, 1)
    for first in (0, 3):
        other = batch.copy()
        other[..., first : first + 3] = 0
        assert np.abs(np.asarray(model(batch)) - np.asarray(model(other))).max() > 0


@pytest.mark.parametrize(
    "weights", [[1], [0.3, 1], [0.5, 0.5, 1], [1, 1, 1, 1]], ids=len
)
def test_views_are_apart_and_summed(weights):
    views, weights = len(weights), np.array(weights)
    model = LivenessNet.build(16, 16, 3 * views, 2, filters=(4, 8))
    batch = np.random.default_rng(0).random((3, 16, 16, 3 * views), np.float32)
    logits = np.asarray(LivenessNet.each_view(model)(batch))

    assert logits.shape == (3, views, 2)
    summed = np.exp((logits * weights[:, None]).sum(axis=1))
    expected = summed / summed.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(model(batch)), expected, atol=1e-5)


def test_only_the_first_view_drops_single_values(model):
    """Whole maps of the others: what helps the one harms the other."""
    from keras import Model, layers

    expected = ((layers.Dropout, 0.25), (layers.SpatialDropout2D, 0.1))
    for view, (kind, rate) in enumerate(expected):
        part = Model(model.input, model.get_layer(f"{LOGITS}{view}").output)
        dropouts = [one for one in part.layers if isinstance(one, layers.Dropout)]
        blocks = [one for one in dropouts if len(one.output.shape) == 4]
        assert [(type(one), one.rate) for one in blocks] == [(kind, rate)] * 4


def test_width_height_depth_and_classes_are_told_apart():
    model = LivenessNet.build(40, 32, 3, 5, filters=(4, 8))

    assert model.input_shape == (None, 32, 40, 3)
    assert model.output_shape == (None, 5)


def test_views_have_weights_of_their_own():
    one, two = (LivenessNet.build(16, 16, n, 2, filters=(4, 8)) for n in (3, 6))

    assert two.count_params() == 2 * one.count_params()


@pytest.mark.parametrize("name", ["net.h5", "net.model", "net.keras"])
def test_files_keep_the_network(tmp_path, name):
    model = LivenessNet.build(16, 16, 6, 2, filters=(4, 8))
    suffix = ".keras" if name.endswith(".keras") else ".h5"
    model.save(tmp_path / f"saved{suffix}")
    path = (tmp_path / f"saved{suffix}").rename(tmp_path / name)

    loaded = load_keras_model(path)
    batch = batch_for(model)
    np.testing.assert_allclose(np.asarray(model(batch)), np.asarray(loaded(batch)))


def test_an_average_has_the_mean_of_the_logits(tmp_path):
    import keras

    parts = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        parts.append(LivenessNet.build(16, 16, 6, 2, filters=(4, 8)))
    both = LivenessNet.average(parts)
    both.save(tmp_path / "net.h5")
    batch = batch_for(both, 5)

    def logit(model) -> np.ndarray:
        fake, real = np.asarray(model(batch), np.float64).T
        return np.log(real / fake)

    first, second = map(logit, parts)
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_allclose(logit(both), (first + second) / 2, atol=1e-5)
    loaded = load_keras_model(tmp_path / "net.h5")
    np.testing.assert_allclose(logit(loaded), logit(both), atol=1e-6)
    assert both.count_params() == 2 * parts[0].count_params()


def test_one_network_is_its_own_average(model):
    assert LivenessNet.average([model]) is model


@pytest.mark.parametrize(
    ("width", "height", "depth", "message"),
    [
        (80, 80, 0, "multiple of 3 channels. Received: 0"),
        (80, 80, 4, "multiple of 3 channels. Received: 4"),
        (31, 80, 3, "side of 32 pixels or more. Received: 31x80"),
        (80, 31, 3, "Received: 80x31"),
    ],
)
def test_wrong_arguments_are_refused(width, height, depth, message):
    with pytest.raises(ValueError, match=message):
        LivenessNet.build(width, height, depth, 2)
