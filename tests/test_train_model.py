"""Training as a user runs it: the files, the report, and what is refused."""

import json
import pickle
import shutil
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

import train_model
from conftest import portrait_crops, write_crops
from liveness.cli.run import run
from liveness.data.dataset import Sample, read_dataset, split_samples
from liveness.errors import DatasetError
from liveness.evaluation.metrics import equal_error, error_rates
from liveness.evaluation.report import ScoredFaces, read_scores, write_scores
from liveness.model.card import read_card, sha256_of
from liveness.model.classifier import LivenessClassifier
from liveness.model.keras_files import load_keras_model
from liveness.model.loading import load_model
from liveness.model.paths import ModelPaths
from liveness.workflow.train import _check_sites


@pytest.fixture
def start(tmp_path, monkeypatch, short_training):
    """Trains one tiny epoch in ``tmp_path``; returns the exit code."""
    monkeypatch.chdir(tmp_path)

    def start(*datasets, options=(), recipe=("--epochs", "1", "--batch-size", "16")):
        given = ["-d", *datasets, "-m", "liveness.h5", "-l", "le.pickle"]
        given += [*recipe, *options]
        return run(lambda: train_model.main([str(one) for one in given]))

    return start


def refuse_training(*_args, **_kwargs):
    raise AssertionError("training began")


def test_all_files_appear(trained):
    names = sorted(path.name for path in trained.iterdir())

    assert names == [
        *("confusion_matrix.png", "le.pickle", "liveness.h5", "liveness.json"),
        *("liveness.moments.npz", "liveness.onnx", "plot.png"),
    ]
    encoder = pickle.loads((trained / "le.pickle").read_bytes())
    assert list(encoder.classes_) == ["fake", "real"]
    for name in ("plot.png", "confusion_matrix.png"):
        assert cv2.imread(str(trained / name)) is not None


def test_card_says_how_the_model_was_made(trained):
    card = json.loads((trained / "liveness.json").read_text())

    assert card["labels"] == ["fake", "real"]
    assert card["color_order"] == "BGR"
    assert card["seed"] == 42
    assert card["crop_scale"] == pytest.approx(2.7)
    assert 0 <= card["threshold"] <= 1
    assert "equal error" in card["threshold_rule"]
    assert "validation sources" in card["threshold_rule"]
    assert card["trained_on"] == "8 real, 10 fake (4 print, 6 screen)"
    assert {"apcer", "bpcer", "acer", "eer"} <= card["validation"].keys()
    model = (trained / "liveness.h5").read_bytes()
    assert card["model_sha256"] == sha256_of(model)
    assert card["runtime_sha256"] == sha256_of((trained / "liveness.onnx").read_bytes())


def test_threshold_is_of_equal_error_on_the_part_that_validates(trained, small_dataset):
    from liveness.training.fit import score
    from liveness.training.pixels import load_pixels
    from liveness.training.recipe import TrainingOptions

    _, validation, _ = split_samples(
        read_dataset([small_dataset]), validation_share=0.2, seed=42
    )
    pixels = load_pixels(validation, TrainingOptions())
    scores = score(load_keras_model(trained / "liveness.h5"), pixels)

    card = read_card(trained / "liveness.json")
    _, threshold = equal_error(scores, pixels.attacks)
    assert card.threshold == pytest.approx(threshold, abs=1e-4)
    rates = error_rates(scores, pixels.attacks, threshold=card.threshold)
    assert card.validation["acer"] == pytest.approx(rates.acer)


def few_faces(monkeypatch, count):
    """Fewer faces than this are too few to report on."""
    for module in ("evaluation.metrics", "workflow.train"):
        monkeypatch.setattr(f"liveness.{module}.FEW_FACES", count)


def test_few_faces_that_validate_are_said(start, small_dataset, capsys, monkeypatch):
    assert start(small_dataset) == 0
    said = "validation faces per class: threshold and rates are unreliable"
    captured = capsys.readouterr()
    assert f"fewer than 20 {said}" in captured.err
    assert "too few faces to say how good this model is" in captured.out
    assert "20 or more of each are needed" in captured.out
    for figure in ("APCER", "BPCER", "EER", "precision", "recall", "%"):
        assert figure not in captured.out

    few_faces(monkeypatch, 2)
    assert start(small_dataset) == 0
    captured = capsys.readouterr()
    assert said not in captured.err
    assert "too few faces" not in captured.out
    assert "precision" in captured.out and "validation: APCER" in captured.out
    assert "chosen on these faces, which flatters the figures" in captured.out


def test_networks_are_averaged(start, small_dataset, trained, tmp_path):
    assert start(small_dataset, options=["--networks", "2"]) == 0

    one, two = (
        load_keras_model(folder / "liveness.h5").count_params()
        for folder in (trained, tmp_path)
    )
    assert two == 2 * one
    cards = [read_card(folder / "liveness.json") for folder in (trained, tmp_path)]
    assert [card.networks for card in cards] == [1, 2]
    model = load_model(ModelPaths(tmp_path / "liveness.h5", tmp_path / "le.pickle"))
    assert model.network.runtime == "ONNX Runtime"


def test_threshold_from_scores_of_sites_left_out(
    start, small_dataset, tmp_path, capsys, monkeypatch
):
    """Everything trains; threshold and rates are those of the scores."""
    few_faces(monkeypatch, 2)
    rows = ["path,label,attack,source,score"]
    rows += [f"{n}.png,real,,.,0.9" for n in range(9)] + ["9.png,real,,b,0.6"]
    rows += ["10.png,fake,print,.,0.8", "11.png,fake,print,b,0.4"]
    (tmp_path / "scores.csv").write_text("\n".join(rows))

    assert start(small_dataset, options=["--threshold-from", "scores.csv"]) == 0
    card = json.loads((tmp_path / "liveness.json").read_text())
    # At 0.7 half of the sites' attacks pass and half of the sites' real faces are
    # refused; the dataset's own site alone, which has most faces, would give 0.85.
    assert card["threshold"] == pytest.approx(0.7)
    assert card["threshold_rule"] == (
        "equal error on 10 real, 2 fake of 2 sites left out, each site counted alike"
    )
    assert card["trained_on"] == "12 real, 12 fake (6 print, 6 screen)"
    assert card["validation"]["bpcer"] == pytest.approx(0.1)
    assert card["validation"]["apcer"] == pytest.approx(0.5)
    out, err = capsys.readouterr()
    assert "sites left out: APCER 50.0%  BPCER 10.0%" in out
    assert "threshold: 0.700 (equal error on 10 real" in out
    assert "what to expect of sites that it never saw is in the table" in out
    assert "the scores file also covers b, which the dataset does not have" in err
    assert "no attack scores" not in err
    assert (tmp_path / "plot.png").exists()


def test_sites_without_scores_are_said(caplog):
    samples = [
        Sample(Path("1.png"), label, attack, site, "s")
        for site in ("a/anna", "b", "real-only")
        for label, attack in (("real", ""), ("fake", "print"))
        if not (site == "real-only" and attack)
    ]
    scored = ScoredFaces(["1.png"] * 2, ["", "print"], ["a", "a"], [0.9, 0.1])

    _check_sites(scored, samples)
    assert "no attack scores for b;" in caplog.text
    with pytest.raises(DatasetError, match="of no site of the dataset"):
        _check_sites(scored, samples[2:])


def test_scores_of_a_site_whose_name_is_not_utf_8(tmp_path, caplog):
    samples = [
        Sample(Path("1.png"), label, attack, "caf\udce9", "s")
        for label, attack in (("real", ""), ("fake", "print"))
    ]
    sites = [sample.collection for sample in samples]
    faces = ScoredFaces(["1.png"] * 2, ["", "print"], sites, [0.9, 0.1])
    write_scores(tmp_path / "s.csv", faces)

    _check_sites(read_scores(tmp_path / "s.csv"), samples)
    assert not caplog.text


def test_bad_scores_are_refused_before_training(
    start, small_dataset, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("liveness.training.fit.train", refuse_training)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")

    for name, message in (("none.csv", "none.csv"), ("other.csv", "holds no scores")):
        assert start(small_dataset, options=["--threshold-from", name]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error
    assert not (tmp_path / "liveness.h5").exists()


def test_apps_load_the_model_by_its_runtime_file(trained):
    model = LivenessClassifier.load(trained / "liveness.h5", trained / "le.pickle")

    assert "ONNX Runtime" in model.description
    scores = model.score_crops(portrait_crops(2, seed=5))
    assert scores.shape == (2,)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_saved_model_holds_no_augmentation(trained):
    with h5py.File(trained / "liveness.h5") as file:
        config = file.attrs["model_config"]

    assert "Conv2D" in config
    assert "Random" not in config


def test_same_seed_gives_same_weights(
    start, small_dataset, trained, tmp_path, capsys, monkeypatch
):
    few_faces(monkeypatch, 2)
    assert start(small_dataset, options=["-p", "a.png", "-c", "b.png"]) == 0

    first, second = (
        load_keras_model(folder / "liveness.h5").get_weights()
        for folder in (trained, tmp_path)
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (tmp_path / "a.png").is_file()
    assert (tmp_path / "b.png").is_file()
    out = capsys.readouterr().out
    for word in ("precision", "APCER", "BPCER", "ACER", "EER", "threshold: 0."):
        assert word in out
    assert "wrote liveness.h5, le.pickle" in out


def test_real_faces_alone_train_with_simulated_attacks(start, tmp_path, capsys):
    for number in range(3):
        crops = portrait_crops(4, seed=number)
        write_crops(tmp_path / "data/real", crops, source=f"{number}.mp4#{number}")

    assert start("data", options=["--simulate-attacks"]) == 0
    card = json.loads((tmp_path / "liveness.json").read_text())
    assert card["trained_on"].startswith("8 real, 16 fake (")
    assert "simulated" in card["trained_on"]
    assert "fake faces: both classes" not in capsys.readouterr().err


@pytest.mark.parametrize("label", ["real", "fake"])
def test_one_class_only_is_refused(start, small_dataset, tmp_path, capsys, label):
    shutil.copytree(small_dataset / label, tmp_path / "data" / label)
    missing = "fake" if label == "real" else "real"

    assert start("data") == 1
    error = capsys.readouterr().err
    assert f"the dataset 'data' has no {missing} faces" in error
    assert f"collect_dataset.py -o .../{missing}" in error
    assert not (tmp_path / "liveness.h5").exists()


def test_poor_dataset_trains_and_says_what_is_poor(
    start, small_dataset, trained, tmp_path, capsys
):
    real = tmp_path / "data/real"
    write_crops(real, portrait_crops(14, seed=1), source="me.mp4#1")
    shutil.copytree(small_dataset / "fake/print", tmp_path / "data/fake/print")
    (real / "1.png").write_bytes(b"")
    (real / "2.png").write_text("no picture")
    cv2.imwrite(str(real / "3.png"), np.zeros((1, 1, 3), np.uint8))
    (real / "notes.txt").write_text("ignored")

    assert start("data", options=["--seed", "7", "-m", "own.keras"]) == 0
    captured = capsys.readouterr()
    assert "skipped 3 pictures" in captured.out
    for name in ("1.png", "2.png", "3.png"):
        assert f"{name}'" in captured.err
    assert "notes.txt" not in captured.err
    assert "all real faces come from one source, 'me.mp4#1'" in captured.err
    assert "optimistic" in captured.err
    assert "fake faces: both classes weigh the same" in captured.err
    paths = ModelPaths(tmp_path / "own.keras", tmp_path / "le.pickle")
    assert paths.model.read_bytes()[:2] == b"PK"
    own = load_model(paths)
    other = load_model(ModelPaths(trained / "liveness.h5", trained / "le.pickle"))
    assert own.card.seed == 7
    batch = np.random.default_rng(0).random((1, *own.card.input_shape), np.float32)
    assert not np.array_equal(own.network(batch), other.network(batch))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-m", "no/m.h5"], "no folder for 'no/m.h5': create 'no' first"),
        (["-l", "no/le.pickle"], "no folder for 'no/le.pickle': create 'no' first"),
        (["-p", "no/plot.png"], "no folder for 'no/plot.png': create 'no' first"),
        (["-c", "no/cm.png"], "no folder for 'no/cm.png': create 'no' first"),
        (["-p", "folder"], "'folder' is a folder"),
        (["-p", "x.png", "-c", "x.png"], "choose different names"),
        (["-m", "."], "'.' is a folder"),
        (["-m", "le.pickle", "-l", "le.pickle"], "written to 'le.pickle'"),
        (["-m", "m.h5", "-p", "m.onnx"], "two files would be written to 'm.onnx'"),
        (["-m", "m.h5", "-c", "m.json"], "two files would be written to 'm.json'"),
    ],
    ids=[
        *("model", "encoder", "plot", "matrix", "folder", "one name", "model folder"),
        *("encoder's", "runtime file's", "card's"),
    ],
)
def test_outputs_are_refused_before_training(
    start, small_dataset, tmp_path, capsys, monkeypatch, options, message
):
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr("liveness.workflow.train.read_dataset", refuse_training)

    assert start(small_dataset, options=options) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("plot", ["data/real/1.png", "data/crops.csv", "scores.csv"])
def test_no_result_replaces_what_is_read(start, tmp_path, capsys, monkeypatch, plot):
    (tmp_path / "data/real").mkdir(parents=True)
    for name in ("data/real/1.png", "data/crops.csv", "scores.csv"):
        (tmp_path / name).write_text("to be read")
    monkeypatch.setattr("liveness.workflow.train.read_dataset", refuse_training)

    assert start("data", options=["-p", plot, "--threshold-from", "scores.csv"]) == 1
    assert f"'{plot}' is an input and would be overwritten" in capsys.readouterr().err
    assert (tmp_path / plot).read_text() == "to be read"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no dataset folder"),
        (Path.mkdir, "no pictures in folder"),
        (Path.touch, "no dataset folder"),
    ],
    ids=["missing", "empty", "file"],
)
def test_no_dataset_is_one_line(start, tmp_path, capsys, make, message):
    make(tmp_path / "data")

    assert start("data") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--epochs", "0"],
        ["--batch-size", "x"],
        ["--batch-size", "7"],
        ["--learning-rate", "nan"],
        ["--validation-split", "1"],
        ["--validation-split", "0"],
        ["--networks", "0"],
        ["--seed", "-1"],
        ["--seed", "4294967296"],
        ["--validation-split", "0.3", "--threshold-from", "scores.csv"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(start, options, capsys):
    with pytest.raises(SystemExit) as exit_:
        start("data", options=options)

    assert exit_.value.code == 2
    assert options[0] in capsys.readouterr().err


RECIPE = {
    **{"trunk": "small", "epochs": 1, "batch_size": 16, "learning_rate": 0.001},
    **{"networks": 2, "seed": 3, "simulate_attacks": False, "never_train": []},
}


def write_scored_recipe(folder, recipe):
    rows = ["path,label,attack,source,score"]
    rows += ["1.png,real,,.,0.9", "2.png,fake,print,.,0.1"]
    (folder / "s.csv").write_text("\n".join(rows) + "\n")
    (folder / "s.recipe.json").write_text(json.dumps(recipe))


def test_the_recipe_of_the_scores_is_taken(start, small_dataset, tmp_path):
    write_scored_recipe(tmp_path, RECIPE)
    options = ["--threshold-from", "s.csv"]

    assert start(small_dataset, options=options, recipe=()) == 0
    card = json.loads((tmp_path / "liveness.json").read_text())
    assert (card["networks"], card["seed"]) == (2, 3)


def test_another_recipe_than_that_of_the_scores_is_wrong_usage(
    start, small_dataset, tmp_path, capsys
):
    write_scored_recipe(tmp_path, RECIPE)
    options = ["--threshold-from", "s.csv", "--seed", "42"]

    with pytest.raises(SystemExit) as caught:
        start(small_dataset, options=options, recipe=())
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert "--seed: the scores are of networks trained with 3, not 42" in error
    assert not (tmp_path / "liveness.h5").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"epochs": 3}'])
def test_a_recipe_that_is_none_is_one_line(
    start, small_dataset, tmp_path, capsys, content
):
    write_scored_recipe(tmp_path, RECIPE)
    (tmp_path / "s.recipe.json").write_text(content)

    options = ["--threshold-from", "s.csv"]
    assert start(small_dataset, options=options, recipe=()) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: 's.recipe.json' is no recipe")
