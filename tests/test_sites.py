"""Sites left out: dealing, thresholds, rates by site and their means."""

from pathlib import Path

import numpy as np
import pytest

from leave_sites_out import table, table_of_changes
from liveness.data.dataset import Sample
from liveness.errors import DatasetError
from liveness.evaluation.sites import (
    Fold,
    Mean,
    check_folds,
    means,
    part_of,
    rates_by_part,
    results_of,
    split_parts,
    threshold_without,
)


def sample(site, attack="", scale=2.7):
    label = "fake" if attack else "real"
    return Sample(Path("x.png"), label, attack, site, "s", crop_scale=scale)


def fold_of(samples, scores, changed=None, within=None):
    parts = [part_of(one, within) for one in samples]
    return Fold(samples, parts, np.array(scores), changed or {})


def test_every_attacked_site_is_left_out_once():
    samples = [sample(f"{site}/person", "print") for site in "abcdefg"]
    samples.append(sample("wild"))
    folds = split_parts(samples, 3, seed=1)

    assert sorted(site for fold in folds for site in fold) == list("abcdefg")
    assert sorted(map(len, folds)) == [2, 2, 3]
    assert folds == split_parts(samples, 3, seed=1)
    assert any(folds != split_parts(samples, 3, seed=seed) for seed in range(2, 6))


def test_related_sites_are_left_out_together():
    samples = [sample(site, "print") for site in "abcdefg"] + [sample("h")]
    for seed in range(6):
        folds = split_parts(samples, 3, seed, together=[{"a", "f"}, {"c", "g"}])

        assert sorted(site for fold in folds for site in fold) == list("abcdefg")
        assert all(("a" in fold) == ("f" in fold) for fold in folds)
        assert all(("c" in fold) == ("g" in fold) for fold in folds)
        assert max(map(len, folds)) <= 3
    with pytest.raises(DatasetError, match="no x in the dataset"):
        split_parts(samples, 3, 1, together=[{"a", "x"}])


def test_groups_of_one_site_are_left_out():
    samples = [sample(f"a/{group}", "print") for group in "pqr"]
    samples += [sample("a/only-real"), sample("b", "replay"), sample("b")]
    folds = split_parts(samples, 3, seed=1, within="a")

    assert sorted(part for fold in folds for part in fold) == ["a/p", "a/q", "a/r"]
    with pytest.raises(DatasetError, match="3 groups of a with attacks"):
        split_parts(samples, 4, seed=1, within="a")
    with pytest.raises(DatasetError, match="no site 'c' with attacks"):
        split_parts(samples, 2, seed=1, within="c")


def test_groups_are_reported_apart():
    samples = [sample(f"a/{group}", kind) for group in "pq" for kind in ("", "print")]
    samples += [sample("b/x"), sample("b/x", "replay")]
    fold = fold_of(samples, [0.9, 0.1, 0.9, 0.8, 0.9, 0.1], within="a")

    found = {one.site: one.apcer for one in rates_by_part(fold, 0.5)}
    assert found == {"a/p": 0, "a/q": 1, "b": 0}


def test_threshold_is_of_the_other_folds_and_sites_count_alike():
    def fold(site, real, fake):
        samples = [sample(site)] * len(real) + [sample(site, "x")] * len(fake)
        return fold_of(samples, [*real, *fake])

    own = fold("a", [0.99], [0.98])
    # Site b alone would give 0.85. It has many faces, and still counts once.
    many = fold("b", [0.9] * 30, [0.8] * 30)
    few, more = (fold(site, [0.3, 0.31], [0.2, 0.1]) for site in "cd")
    folds = [own, many, few, more]

    assert threshold_without(folds, 0) == pytest.approx(0.25, abs=0.06)
    assert threshold_without([own, many], 0) == pytest.approx(0.85)
    assert threshold_without([own, many], 1) == pytest.approx(0.985)


def test_people_count_alike_in_their_threshold():
    people = [("p", 0.9, 0.1, 1), ("q", 0.9, 0.8, 30), ("r", 0.3, 0.2, 2)]

    def fold(within, person, real, fake, count):
        samples = [sample(f"a/{person}", attack) for attack in ("", "x")] * count
        return fold_of(samples, [real, fake] * count, within=within)

    apart, together = ([fold(one, *each) for each in people] for one in ("a", None))
    # At 0.85 half of the people's real faces are refused, at 0.25 half of the
    # attacks pass: the middle of 0.3 and 0.8. Person q alone would give 0.85.
    assert threshold_without(apart, 0) == pytest.approx(0.55)
    assert threshold_without(together, 0) == pytest.approx(0.85)


def test_folds_that_would_leave_no_threshold_are_refused_first():
    samples = [sample("a"), sample("a", "x"), sample("b", "x"), sample("wild")]

    with pytest.raises(DatasetError, match=r"b, which the threshold .* no real faces"):
        check_folds(samples, [{"a"}, {"b"}])
    check_folds([*samples, sample("b")], [{"a"}, {"b"}])


@pytest.mark.parametrize(("sites", "folds"), [(2, 3), (3, 1), (0, 2)])
def test_too_few_sites_are_refused(sites, folds):
    samples = [sample(str(number), "print") for number in range(sites)]

    with pytest.raises(DatasetError, match=f"{sites} sites with attacks"):
        split_parts(samples, folds, seed=1)


def test_rates_keep_sites_and_kinds_apart():
    samples = [sample("a"), sample("a", "print"), sample("a", "replay")]
    samples += [sample("a", scale=None), sample("a", "print", None)]
    samples += [sample("b"), sample("c", "print")]  # one class only: no rates
    scores = np.array([0.9, 0.2, 0.8, 0.3, 0.1, 0.9, 0.1])

    crops, prints, replays = rates_by_part(fold_of(samples, scores), 0.5)
    assert (crops.site, crops.kind, crops.attack) == ("a", "crops", "print")
    assert (crops.apcer, crops.bpcer, crops.eer) == (0, 1, 0)
    assert [one.kind for one in (prints, replays)] == ["full frames"] * 2
    assert [one.attack for one in (prints, replays)] == ["print", "replay"]
    assert {one.faces for one in (crops, prints, replays)} == {2}
    assert (prints.apcer, prints.bpcer, prints.acer) == (0, 0, 0)
    assert (replays.apcer, replays.bpcer, replays.acer) == (1, 0, 0.5)


def test_a_site_at_a_threshold_of_its_own():
    samples = [sample("a", attack) for attack in ["", ""] + ["print"] * 2]
    scores = np.array([0.35, 0.4, 0.1, 0.2])

    (one,) = results = rates_by_part(fold_of(samples, scores), 0.5)
    assert (one.acer, one.acer_calibrated) == (0.5, 0)
    assert table(results).splitlines()[1].endswith(" 50.0%     0.0%")
    assert "ACER 50.0%  ACER calibrated 0.0%" in table(results)


def test_a_site_that_is_too_small_to_calibrate_is_left_out_of_that_mean():
    samples = [sample("a", attack) for attack in ("", "", "print", "print")]
    samples += [sample("b"), sample("b", "print")]
    scores = np.array([0.3, 0.3, 0.1, 0.1, 0.1, 0.2])
    results = rates_by_part(fold_of(samples, scores), 0.5)

    (figures,) = means(results).values()
    assert figures["ACER calibrated"] == Mean(0, None, sites=1)
    assert figures["EER"].value == pytest.approx(0.5)
    assert table(results).endswith("  ACER calibrated 0.0% over 1 of the sites")


def test_means_are_over_sites_with_an_interval():
    samples, scores = [], []
    for site, fooled in (("a", 0.0), ("b", 0.0), ("c", 1.0)):
        samples += [sample(site), sample(site, "print")]
        scores += [0.9, fooled * 0.8]
    results = rates_by_part(fold_of(samples, scores), 0.5)

    found = means(results)
    (name,) = found
    assert name == "full frames, print, 3 sites"
    assert found[name]["APCER"] == Mean(pytest.approx(1 / 3), (0, 1), sites=3)
    assert "APCER 33.3% (0.0% to 100.0%)" in table(results)
    assert means(results) == found


def test_one_site_has_no_interval():
    samples = [sample("a"), sample("a", "print")]
    results = rates_by_part(fold_of(samples, [0.9, 0.8]), 0.5)

    found = means(results)["full frames, print, 1 site"]
    assert found["APCER"] == Mean(1, None, sites=1)
    assert "APCER 100.0%  BPCER 0.0%" in table(results)


@pytest.mark.parametrize("scale", [None, 1.5])
def test_crops_that_show_little_more_than_the_face_are_no_full_frames(scale):
    samples = [sample("a", attack, scale) for attack in ("", "print")]
    (result,) = rates_by_part(fold_of(samples, [0.9, 0.1]), 0.5)

    assert result.kind == "crops"


def test_a_change_is_measured_at_the_threshold_of_the_unchanged():
    """Bluer faces score 0.3 less: all real ones fall below the other fold's 0.5."""
    samples = [sample(site, attack) for site in "ab" for attack in ("", "replay")]
    scores = np.array([0.6, 0.4, 0.6, 0.4])
    folds = [
        fold_of(samples[at : at + 2], part, {"bluer": part - 0.3})
        for at, part in ((0, scores[:2]), (2, scores[2:]))
    ]

    results = results_of(folds)
    text = table_of_changes(results)
    (kind,) = means(results["bluer"])
    assert means(results["bluer"])[kind]["BPCER"].value == 1
    assert means(results["bluer"])[kind]["EER"].value == 0
    assert text.splitlines() == [
        "",
        "full frames, replay, 2 sites         APCER   BPCER    ACER     EER",
        "as they are                           0.0%    0.0%    0.0%    0.0%",
        "bluer                                 0.0%  100.0%   50.0%    0.0%",
    ]
