"""The trained model on disk: saving, loading, and refusing what is unsafe."""

import dataclasses
import json
import os
import zipfile

import h5py
import numpy as np
import pytest

from liveness.errors import ModelError, OutputError
from liveness.model.card import ModelCard, read_card, write_card
from liveness.model.keras_files import import_keras, load_keras_model
from liveness.model.labels import write_label_encoder
from liveness.model.loading import load_model
from liveness.model.networks import KerasNetwork, RuntimeNetwork
from liveness.model.paths import ModelPaths, check_output_paths, find_model
from liveness.model.saving import save_trained_model

CARD = ModelCard(input_size_px=16, view_scales=(1.0, 2.7), crop_scale=2.7, seed=3)


def two_view_network(**head):
    """Small untrained network of two views, with uneven batch norms."""
    keras = import_keras()
    layers = keras.layers
    keras.utils.set_random_seed(5)
    inputs = layers.Input((16, 16, 6))
    branches = []
    for cut in ((0, 3), (3, 0)):
        x = layers.Cropping2D(((0, 0), cut), data_format="channels_first")(inputs)
        x = layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
        norm = layers.BatchNormalization()
        x = layers.ReLU()(norm(x))
        random = np.random.default_rng(1)
        norm.set_weights([random.uniform(0.3, 1.5, 4) for _ in range(4)])
        branches.append(layers.GlobalAveragePooling2D()(x))
    x = layers.Dropout(0.5)(layers.Concatenate()(branches))
    outputs = layers.Dense(**({"units": 2, "activation": "softmax"} | head))(x)
    return keras.Model(inputs, outputs)


@pytest.fixture(scope="module")
def model():
    return two_view_network()


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    return save_trained_model(
        model, folder / "liveness.h5", folder / "label_encoder.pickle", CARD
    )


@pytest.fixture
def copied(saved, tmp_path):
    for file in saved.model.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return ModelPaths(tmp_path / "liveness.h5", tmp_path / "label_encoder.pickle")


def batch_of(count, shape=(16, 16, 6)):
    return np.random.default_rng(2).random((count, *shape), dtype=np.float32)


def test_keras_comes_with_fast_kernels_unless_the_user_says_otherwise(monkeypatch):
    for given, kept in ((None, "1"), ("0", "0")):
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
        if given:
            monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given)
        import_keras()
        assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == kept


def test_saves_all_files_and_nothing_else(saved):
    names = sorted(file.name for file in saved.model.parent.iterdir())
    assert names == [
        "label_encoder.pickle",
        "liveness.h5",
        "liveness.json",
        "liveness.onnx",
    ]
    card = read_card(saved.card)
    unsummed = dataclasses.replace(card, versions={})
    unsummed = dataclasses.replace(unsummed, model_sha256=None, runtime_sha256=None)
    assert unsummed == CARD
    assert "keras" in card.versions


@pytest.mark.parametrize("count", [1, 5, 32])
def test_runtime_file_agrees_with_keras(saved, model, count):
    network = load_model(saved).network
    assert isinstance(network, RuntimeNetwork)
    expected = np.asarray(model(batch_of(count), training=False))
    np.testing.assert_allclose(network(batch_of(count)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.keras", b"PK"), ("a.model", b"\x89HDF"), ("a.bin", b"\x89HDF")],
)
def test_suffix_chooses_the_format_and_first_bytes_the_reader(
    model, tmp_path, name, start
):
    path = tmp_path / name
    save_trained_model(model, path, tmp_path / "le.pickle", CARD)
    assert path.read_bytes().startswith(start)
    renamed = path.rename(tmp_path / "other.name")
    loaded = KerasNetwork(load_keras_model(renamed))
    expected = np.asarray(model(batch_of(3), training=False))
    np.testing.assert_allclose(loaded(batch_of(3)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda paths: paths.runtime.unlink(), "there is no"),
        (lambda paths: paths.runtime.write_bytes(b"x"), "does not belong"),
        (
            lambda paths: write_card(
                dataclasses.replace(read_card(paths.card), model_sha256="0"), paths.card
            ),
            "written for another model file",
        ),
    ],
    ids=["missing", "foreign", "other-model"],
)
def test_falls_back_to_keras_and_says_why(copied, caplog, break_it, reason):
    break_it(copied)
    with caplog.at_level("INFO", "liveness"):
        loaded = load_model(copied)
    assert isinstance(loaded.network, KerasNetwork)
    assert len(caplog.records) == 1
    assert reason in caplog.text


def older_model(path, *, activation="softmax", units=2):
    """HDF5 file of the older family, its architecture as Keras 2 wrote it."""
    keras = import_keras()
    layers = keras.layers
    stack = [layers.Conv2D(4, 3), layers.Activation("relu"), layers.Flatten()]
    stack += [layers.Dense(units)]
    stack += [layers.Activation(activation)] if activation else []
    model = keras.Sequential([layers.Input((32, 32, 3)), *stack])
    model.save(path.with_suffix(".h5"))
    path.with_suffix(".h5").rename(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            for key in ("module", "registered_name", "build_config"):
                layer.pop(key, None)
            settings = layer["config"]
            settings["dtype"] = "float32"
            if "batch_shape" in settings:
                settings["batch_input_shape"] = settings.pop("batch_shape")
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.4.0"
    return model


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_older_model_without_card_works(tmp_path, caplog, activation):
    paths = ModelPaths(tmp_path / "liveness.model", tmp_path / "le.pickle")
    model = older_model(paths.model, activation=activation)
    caplog.clear()  # Keras' own remark about saving
    with caplog.at_level("INFO", "liveness"):
        loaded = load_model(paths)
    assert len(caplog.records) == 1
    assert "older tool" in caplog.text
    assert loaded.card.input_shape == (32, 32, 3)
    assert (loaded.card.view_scales, loaded.card.threshold) == ((1.0,), 0.5)
    batch = batch_of(4, (32, 32, 3))
    expected = np.asarray(model(batch, training=False))
    np.testing.assert_allclose(loaded.network(batch), expected, atol=1e-5)


def test_older_model_beside_a_new_ones_card_keeps_its_own_geometry(copied):
    older_model(copied.model.with_suffix(".model"))
    paths = ModelPaths(copied.model.with_suffix(".model"), copied.label_encoder)
    assert load_model(paths).card.view_scales == (1.0,)


def test_lambda_and_custom_layers_are_refused_before_loading(saved, tmp_path):
    for name, entry in {
        "Lambda": {"class_name": "Lambda", "config": {}},
        "TFSMLayer": {"class_name": "TFSMLayer", "module": "keras.layers"},
        "Dense": {"class_name": "Dense", "module": "evil"},
        "Conv2D": {"class_name": "Conv2D", "registered_name": "own>Conv2D"},
    }.items():
        hdf5, archive = tmp_path / "m.h5", tmp_path / "m.keras"
        hdf5.write_bytes(saved.model.read_bytes())
        with h5py.File(hdf5, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            config["config"]["layers"].append(entry)
            file.attrs["model_config"] = json.dumps(config)
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("config.json", json.dumps(config))
        for path in (hdf5, archive):
            with pytest.raises(ModelError, match=f"contains '{name}'.*refused"):
                load_keras_model(path)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "model.h5"
    for content, message in [
        (b"", "is not a Keras model"),
        (b"some text", "is not a Keras model"),
        (b"\x89HDF\r\n\x1a\n" + b"0" * 100, "damaged HDF5"),
        (b"PK\x03\x04" + b"0" * 100, r"damaged \.keras"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ModelError, match=message):
            load_keras_model(path)
    with h5py.File(path, "w") as file:
        file["data"] = [1, 2]
    with pytest.raises(ModelError, match="without a Keras model"):
        load_keras_model(path)
    with pytest.raises(ModelError, match="is a folder"):
        load_keras_model(tmp_path)
    with pytest.raises(ModelError, match="no model at"):
        load_keras_model(tmp_path / "missing.h5")


def test_model_that_does_not_fit_is_not_saved(tmp_path):
    model = two_view_network(units=3)
    with pytest.raises(ModelError, match=r"expected .*fake and real"):
        save_trained_model(model, tmp_path / "m.h5", tmp_path / "le", CARD)
    assert not list(tmp_path.iterdir())


def test_older_model_with_one_output_is_refused(tmp_path):
    older_model(tmp_path / "liveness.model", units=1, activation="sigmoid")
    with pytest.raises(ModelError, match="one output each for fake and real"):
        load_model(ModelPaths(tmp_path / "liveness.model", tmp_path / "le"))


def test_model_without_softmax_is_refused(tmp_path):
    older_model(tmp_path / "liveness.model", activation=None)
    with pytest.raises(ModelError, match=r"last layer .* 'linear': expected softmax"):
        load_model(ModelPaths(tmp_path / "liveness.model", tmp_path / "le"))


@pytest.fixture
def add_to_scores(monkeypatch):
    """Lets runtime files give scores that are off by some amount."""
    exact = RuntimeNetwork.__call__

    def add(amount: float) -> None:
        monkeypatch.setattr(
            RuntimeNetwork, "__call__", lambda self, batch: exact(self, batch) + amount
        )

    return add


@pytest.mark.parametrize("amount", [1.2e-4, -1.2e-4, 0.1, float("nan")])
def test_runtime_file_that_differs_is_not_saved(model, tmp_path, add_to_scores, amount):
    add_to_scores(amount)
    with pytest.raises(ModelError, match=r"differ from .* by more than 0\.0001"):
        save_trained_model(model, tmp_path / "m.h5", tmp_path / "le", CARD)
    assert not list(tmp_path.iterdir())


def test_runtime_file_that_rounds_otherwise_is_saved(model, tmp_path, add_to_scores):
    add_to_scores(8e-5)
    save_trained_model(model, tmp_path / "m.h5", tmp_path / "le", CARD)
    assert (tmp_path / "m.h5").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-20], "not JSON"),
        (lambda text: "[]", "not a JSON object"),
        (lambda text: text.replace('"seed"', '"sead"'), "unknown keys sead"),
        (lambda text: "{}", "lacks the keys crop_scale, input_size_px, view_scales"),
        (lambda text: text.replace("0.5", "1.5"), "threshold is 1.5"),
        (lambda text: text.replace("0.5", "NaN"), "not JSON"),
        (lambda text: text.replace("BGR", "RGB"), "color_order"),
        (lambda text: text.replace("2.7", "0"), "scales must be above 0"),
        (lambda text: text.replace('"crop_scale": 2.7,', ""), "crop_scale"),
        (lambda text: text.replace('"real"', '"live"'), "labels are"),
    ],
)
def test_damaged_card_is_refused_with_one_line(tmp_path, change, message):
    path = tmp_path / "card.json"
    write_card(CARD, path)
    assert read_card(path) == CARD
    path.write_text(change(path.read_text()))
    with pytest.raises(ModelError, match=message) as refused:
        read_card(path)
    assert "\n" not in str(refused.value)


def test_finds_own_files_only_when_both_exist(tmp_path):
    shipped = tmp_path / "models"
    shipped.mkdir()
    with pytest.raises(ModelError, match="no model at"):
        find_model(None, None, root=tmp_path)
    for folder in (shipped, tmp_path):
        (folder / "liveness.h5").touch()
        write_label_encoder(folder / "label_encoder.pickle")
        assert find_model(None, None, root=tmp_path).model.parent == folder
    (tmp_path / "label_encoder.pickle").unlink()
    assert find_model(None, None, root=tmp_path).model.parent == shipped


def test_finds_the_partner_of_one_file(tmp_path):
    model, encoder = tmp_path / "liveness.model", tmp_path / "label_encoder.pickle"
    model.touch()
    with pytest.raises(ModelError, match="-l"):
        find_model(model, None)
    write_label_encoder(encoder)
    expected = ModelPaths(model, encoder)
    assert find_model(model, None) == expected == find_model(None, encoder)
    (tmp_path / "liveness.h5").touch()
    with pytest.raises(ModelError, match="-m"):
        find_model(None, encoder)


def test_clashing_output_names_are_refused(tmp_path):
    with pytest.raises(OutputError, match="two files would be written"):
        check_output_paths(ModelPaths(tmp_path / "m.json", tmp_path / "le"))
    with pytest.raises(OutputError, match="no folder"):
        check_output_paths(ModelPaths(tmp_path / "a" / "m.h5", tmp_path / "le"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_model_replaces_no_pipe_or_device(tmp_path):
    os.mkfifo(tmp_path / "m.h5")
    with pytest.raises(OutputError, match=r"m\.h5' is no file"):
        check_output_paths(ModelPaths(tmp_path / "m.h5", tmp_path / "le"))


@pytest.mark.parametrize("name", ["m.h5", "m.json", "m.onnx", "le"])
def test_a_model_is_not_written_behind_links(tmp_path, name):
    """They may lead to the files of another model, such as the shipped one."""
    other = tmp_path / "other"
    other.write_text("of another model")
    try:
        (tmp_path / name).symlink_to(other)
    except OSError:
        pytest.skip("this system makes no links")

    with pytest.raises(OutputError, match=f"{name}' is no file but a link"):
        check_output_paths(ModelPaths(tmp_path / "m.h5", tmp_path / "le"))
