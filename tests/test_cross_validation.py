"""Folds: what trains is never of what is left out."""

import numpy as np

from liveness.data.dataset import read_dataset
from liveness.evaluation.cross_validation import measure_fold
from liveness.training.pixels import load_pixels
from liveness.training.recipe import TrainingOptions
from livenessnet import LivenessNet


def test_people_left_out_are_in_no_background(sites, tmp_path, monkeypatch):
    """People of one site stand in the backgrounds of each other's simulated attacks."""
    from liveness.training import fit as training

    (tmp_path / "one").mkdir()
    sites.rename(tmp_path / "one/home")
    samples = read_dataset([tmp_path / "one"])
    options = TrainingOptions(epochs=1)
    to_train = load_pixels(samples, options, to_train=True, simulate_attacks=True)
    seen = []

    def look(train_pixels, *_, **__):
        seen.extend(train_pixels.samples)
        return None, {}

    monkeypatch.setattr(training, "train", look)
    monkeypatch.setattr(training, "score", lambda _, part: np.zeros(len(part.samples)))
    held_out = {"home/a", "home/b"}
    filmed = load_pixels(samples, options)
    fold = measure_fold(to_train, filmed, held_out, LivenessNet, options, within="home")

    assert fold.parts == [sample.site for sample in fold.samples]
    assert set(fold.parts) == held_out
    shown = [{s.site, s.background} - {""} for s in seen]
    assert set().union(*shown) == {"home/c", "home/d"}
    assert sum(len(sites) == 2 for sites in shown) > 2


def test_sites_that_never_train_are_measured_all_the_same(sites, monkeypatch):
    from liveness.training import fit as training

    samples = read_dataset([sites])
    options = TrainingOptions(epochs=1)
    pixels = load_pixels(samples, options)
    seen = {}

    def look(train_pixels, *_, **__):
        seen["sites"] = {sample.site for sample in train_pixels.samples}
        return None, {}

    monkeypatch.setattr(training, "train", look)
    monkeypatch.setattr(training, "score", lambda _, part: np.zeros(len(part.samples)))
    fold = measure_fold(
        *(pixels, pixels, {"a", "b"}, LivenessNet, options),
        never_train=frozenset({"b", "c"}),
    )

    assert seen["sites"] == {"d"}
    assert {sample.site for sample in fold.samples} == {"a", "b"}


def test_training_never_sees_what_is_left_out(sites, monkeypatch):
    from liveness.training import fit as training

    samples = read_dataset([sites])
    options = TrainingOptions(epochs=1)
    to_train = load_pixels(samples, options, to_train=True, simulate_attacks=True)
    filmed = load_pixels(samples, options)
    seen = {}

    def look(train_pixels, validation_pixels, *_, **__):
        seen.update(train=train_pixels, validation=validation_pixels)
        return None, {}

    monkeypatch.setattr(training, "train", look)
    monkeypatch.setattr(
        training, "score", lambda _, part: np.linspace(0, 1, len(part.samples))
    )
    for held_out in ({"a"}, {"a", "b"}, {"b", "c", "d"}):
        fold = measure_fold(to_train, filmed, held_out, LivenessNet, options)
        assert {s.site for s in fold.samples} == held_out
        assert len(fold.scores) == len(fold.samples)
        assert not any(s.attack.startswith("simulated") for s in fold.samples)
        assert seen["validation"] is None  # nothing is chosen by a score
        assert {s.site for s in seen["train"].samples} == set("abcd") - held_out
        assert any(s.attack.startswith("simulated") for s in seen["train"].samples)
