"""Error rates against hand-worked cases and scikit-learn."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from liveness.evaluation.metrics import (
    draws_of_sources,
    equal_error,
    error_rates,
    interval,
    rate_curves,
    rates_calibrated,
    threshold_for_bpcer,
    weights_of_sources,
)

# Two bona fide faces, two prints and two replays; worked by hand below.
SCORES = np.array([0.9, 0.4, 0.1, 0.6, 0.2, 0.3])
ATTACKS = ["", "", "print", "print", "replay", "replay"]


@st.composite
def scored(draw):
    """Scores with many ties and both classes."""
    attacks = ["", "print", *draw(st.lists(st.sampled_from(["", "print", "replay"])))]
    tenths = draw(
        st.lists(st.integers(0, 10), min_size=len(attacks), max_size=len(attacks))
    )
    return np.array(tenths) / 10, attacks


def test_rates_worked_by_hand():
    rates = error_rates(SCORES, ATTACKS, threshold=0.5)

    assert rates.apcer_by_attack == {"print": 0.5, "replay": 0.0}
    assert rates.apcer == 0.5  # of the worst attack, not the mean of all four
    assert rates.bpcer == 0.5
    assert rates.acer == 0.5
    # Of the 8 pairs of a face and an attack, only 0.4 against 0.6 is out of order.
    assert rates.auc == pytest.approx(7 / 8)
    # One of four attacks passes at 0.6 and at 0.4; half and none of the faces are
    # refused. Both gaps are 0.25, and of such the highest threshold counts.
    assert rates.eer == pytest.approx((0.25 + 0.5) / 2)
    assert rates.bpcer_at_apcer == {"10%": 0.5, "5%": 0.5, "1%": 0.5}
    assert rates.threshold == 0.5


def test_bpcer_at_apcer_is_of_the_worst_attack():
    """95 easy replays do not hide 5 prints that look better than the real faces."""
    scores = np.array([0.9] * 50 + [0.95] * 5 + [0.05] * 95)
    attacks = [""] * 50 + ["print"] * 5 + ["replay"] * 95

    rates = error_rates(scores, attacks, threshold=0.5)
    assert set(rates.bpcer_at_apcer.values()) == {1}
    few = error_rates(
        np.array([0.9, 0.1] + [0.8] + [0.2] * 19), [""] * 2 + ["x"] * 20, threshold=0.5
    )
    assert few.bpcer_at_apcer == {"10%": 0.5, "5%": 0.5, "1%": 0.5}


def test_equal_error_of_equal_gaps_is_at_the_highest_threshold():
    """Against exact fractions: rounding must not choose among equal gaps."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        real, fake = rng.integers(1, 12, 2)
        scores = rng.integers(0, 11, real + fake) / 10
        attacks = [""] * real + ["x"] * fake
        gaps = []
        for threshold in sorted({2.0, *scores}, reverse=True):
            apcer = Fraction(int((scores[real:] >= threshold).sum()), int(fake))
            bpcer = Fraction(int((scores[:real] < threshold).sum()), int(real))
            gaps.append((abs(apcer - bpcer), -threshold, (apcer + bpcer) / 2))
        assert equal_error(scores, attacks)[0] == pytest.approx(float(min(gaps)[2]))


@pytest.mark.parametrize(
    ("threshold", "apcer", "bpcer"),
    [(0.0, 1.0, 0.0), (0.5, 1.0, 0.0), (0.5000001, 0.0, 1.0), (1.0, 0.0, 1.0)],
)
def test_score_at_the_threshold_is_bona_fide(threshold, apcer, bpcer):
    rates = error_rates(np.array([0.5, 0.5]), ["", "print"], threshold=threshold)

    assert (rates.apcer, rates.bpcer) == (apcer, bpcer)


def test_perfect_and_inverted_scores():
    kinds = ["", "", "print", "print"]

    perfect = error_rates(np.array([1.0, 0.8, 0.2, 0.0]), kinds, threshold=0.5)
    inverted = error_rates(np.array([0.0, 0.2, 0.8, 1.0]), kinds, threshold=0.5)
    assert (perfect.acer, perfect.eer, perfect.auc) == (0, 0, 1)
    assert set(perfect.bpcer_at_apcer.values()) == {0}
    assert (inverted.acer, inverted.eer, inverted.auc) == (1, 1, 0)
    assert set(inverted.bpcer_at_apcer.values()) == {1}


def test_equal_error_threshold_is_in_the_middle():
    rate, threshold = equal_error(np.array([0.9, 0.7, 0.3, 0.1]), ["", "", "x", "x"])

    assert rate == 0
    assert threshold == pytest.approx(0.5)


def test_equal_error_where_rates_meet():
    scores = np.array([0.9, 0.8, 0.7, 0.2, 0.75, 0.3, 0.1, 0.0])
    rate, threshold = equal_error(scores, [""] * 4 + ["x"] * 4)

    assert rate == pytest.approx(0.25)
    assert 0.3 < threshold <= 0.7
    rates = error_rates(scores, [""] * 4 + ["x"] * 4, threshold=threshold)
    assert rates.apcer == rates.bpcer == 0.25


@pytest.mark.parametrize(
    ("bpcer", "threshold"), [(0.0, 0.0), (0.05, 0.05), (0.29, 0.29), (1.0, 0.99)]
)
def test_threshold_for_bpcer(bpcer, threshold):
    scores = np.append(np.arange(100) / 100, 0.5)

    found = threshold_for_bpcer(scores, [""] * 100 + ["x"], bpcer=bpcer)
    assert found == pytest.approx(threshold)
    assert (scores[:100] < found).mean() <= bpcer


@pytest.mark.parametrize(
    ("scores", "attacks", "message"),
    [
        ([0.5], [""], "attack face"),
        ([0.5], ["print"], "bona fide face"),
        ([], [], "bona fide face"),
        ([0.5, 0.5], [""], "as many scores as attacks"),
        ([0.5, 1.5], ["", "print"], "from 0 to 1"),
        ([0.5, np.nan], ["", "print"], "from 0 to 1"),
    ],
    ids=["no attack", "no bona fide", "none", "lengths", "range", "nan"],
)
@pytest.mark.parametrize(
    "function",
    [
        lambda scores, attacks: error_rates(scores, attacks, threshold=0.5),
        equal_error,
        rate_curves,
        lambda scores, attacks: threshold_for_bpcer(scores, attacks, bpcer=0.1),
    ],
    ids=["error_rates", "equal_error", "rate_curves", "threshold_for_bpcer"],
)
def test_what_cannot_be_measured_raises(function, scores, attacks, message):
    with pytest.raises(ValueError, match=message):
        function(np.array(scores), attacks)


@given(scored(), st.integers(0, 10))
@settings(max_examples=80, deadline=None)
def test_rates_agree_with_their_definitions(case, tenth):
    scores, attacks = case
    threshold = tenth / 10
    rates = error_rates(scores, attacks, threshold=threshold)
    kinds = np.array(attacks)

    for kind, rate in rates.apcer_by_attack.items():
        accepted = [s >= threshold for s in scores[kinds == kind]]
        assert rate == pytest.approx(sum(accepted) / len(accepted))
    assert rates.apcer == max(rates.apcer_by_attack.values())
    assert rates.bpcer == pytest.approx(np.mean(scores[kinds == ""] < threshold))
    assert rates.acer == pytest.approx((rates.apcer + rates.bpcer) / 2)
    assert rates.auc == pytest.approx(roc_auc_score(kinds == "", scores))
    assert all(0 <= rate <= 1 for rate in (rates.eer, *rates.bpcer_at_apcer.values()))


@given(scored())
@settings(max_examples=80, deadline=None)
def test_equal_error_is_what_its_threshold_gives(case):
    scores, attacks = case
    rate, threshold = equal_error(scores, attacks)
    is_attack = np.array(attacks) != ""

    assert 0 <= threshold <= 1
    apcer = (scores[is_attack] >= threshold).mean()
    bpcer = (scores[~is_attack] < threshold).mean()
    # At 1 itself no score can be refused that is 1 too.
    if scores.max() < 1:
        assert rate == pytest.approx((apcer + bpcer) / 2)
    for other in np.unique([*scores, threshold]):
        gap = (scores[is_attack] >= other).mean() - (scores[~is_attack] < other).mean()
        if scores.max() < 1:
            assert abs(apcer - bpcer) <= abs(gap) + 1e-9


@given(scored())
@settings(max_examples=50, deadline=None)
def test_curves_fall_and_rise_between_0_and_1(case):
    thresholds, apcer, bpcer = rate_curves(*case)

    assert (np.diff(thresholds) < 0).all()
    assert (np.diff(apcer) >= 0).all()
    assert (np.diff(bpcer) <= 0).all()
    assert (apcer[0], bpcer[0], apcer[-1], bpcer[-1]) == (0, 1, 1, 0)


def test_draws_take_whole_sources_and_repeat_by_seed():
    sources = ["a", "b", "a", "c", "b", "a"]
    draws = list(draws_of_sources(sources, seed=3, draws=50))

    for rows in draws:
        drawn = np.bincount(rows, minlength=6)
        assert drawn[0] == drawn[2] == drawn[5]
        assert drawn[1] == drawn[4]
        assert drawn[0] + drawn[1] + drawn[3] == 3
    again = draws_of_sources(sources, seed=3, draws=50)
    assert all(map(np.array_equal, draws, again))
    other = draws_of_sources(sources, seed=4, draws=50)
    assert not all(map(np.array_equal, draws, other))


def test_interval_is_the_middle_95_percent():
    assert interval(range(1001)) == pytest.approx((25, 975))
    assert interval([0.25, 0.25]) == (0.25, 0.25)
    assert np.isnan(interval([0.5])).all()
    assert np.isnan(interval([])).all()


def test_weighted_equal_error_counts_each_source_once():
    """Of ten faces of one source and one of another, both sources count alike."""
    sources = ["many"] * 20 + ["one"] * 2
    attacks = ([""] * 10 + ["x"] * 10) + ["", "x"]
    scores = np.array([0.9] * 10 + [0.8] * 10 + [0.6, 0.4])
    weights = weights_of_sources(sources, attacks)

    np.testing.assert_allclose(weights, [0.1] * 20 + [1.0, 1.0])
    # By hand: at 0.9 no attack passes and half of the bona fide weight is refused;
    # at 0.8 half of the attack weight passes as well: equal error.
    thresholds, apcer, bpcer = rate_curves(scores, attacks, weights=weights)
    found = dict(zip(thresholds, zip(apcer, bpcer, strict=True), strict=True))
    assert found[0.9] == pytest.approx((0.0, 0.5))
    assert found[0.8] == pytest.approx((0.5, 0.5))
    assert equal_error(scores, attacks, weights=weights) == pytest.approx((0.5, 0.7))
    assert equal_error(scores, attacks)[1] == pytest.approx(0.85)  # the many decide


@pytest.mark.parametrize(
    ("real", "attack", "rates"),
    [
        # A dark camera: either half has its threshold at 0.25.
        ((0.3, 0.4, 0.3, 0.4), (0.1, 0.2, 0.1, 0.2), (0, 0)),
        # The threshold of the earlier half (0.55) refuses the later real faces, that
        # of the later half (0.15) lets the earlier attacks pass.
        ((0.6, 0.7, 0.2, 0.3), (0.5, 0.5, 0.1, 0.1), (0.5, 0.5)),
        # 0.25 lets the later attacks pass, 0.55 refuses one earlier real face of two.
        ((0.4, 0.9, 0.6, 0.7), (0.1, 0.1, 0.5, 0.5), (0.5, 0.25)),
    ],
    ids=["shifted", "drifting", "uneven"],
)
def test_each_half_is_measured_at_the_threshold_of_the_other(real, attack, rates):
    attacks = [""] * 4 + ["print"] * 4

    found = rates_calibrated(np.array(real + attack), attacks)
    assert found == pytest.approx(rates)


def test_halves_at_a_wished_bpcer():
    """The highest thresholds that refuse no face of a half are 0.6 and 0.4."""
    attacks = [""] * 4 + ["print"] * 2
    scores = np.array([0.6, 0.9, 0.4, 0.8, 0.5, 0.3])

    found = rates_calibrated(scores, attacks, bpcer=0.0)
    # 0.6 refuses the later 0.4 and the later 0.3; 0.4 lets the earlier 0.5 pass.
    assert found == pytest.approx((0.5, 0.25))


def test_each_half_holds_every_kind_of_attack():
    """Of a dataset the prints come before the replays."""
    attacks = [""] * 4 + ["print"] * 2 + ["replay"] * 2
    scores = np.array([0.9, 0.8, 0.9, 0.8, 0.1, 0.1, 0.7, 0.7])

    assert rates_calibrated(scores, attacks) == (0, 0)


def test_one_face_of_a_class_has_no_halves():
    assert rates_calibrated(np.array([0.9, 0.8, 0.1]), ["", "", "print"]) is None
