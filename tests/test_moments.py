"""Sums of features: right, bound to their model, and refused when damaged."""

import numpy as np
import pytest

from liveness.training.moments import read_moments, second_moments, write_moments


def test_second_moments_are_mean_products():
    values = np.array([[1.0, 2.0], [3.0, -4.0]])
    expected = [[5, -5, 2], [-5, 10, -1], [2, -1, 1]]
    np.testing.assert_allclose(second_moments(values), expected)


def test_what_was_written_is_read_for_its_model_alone(tmp_path):
    moments = second_moments(np.random.default_rng(0).standard_normal((20, 5)))
    write_moments(tmp_path / "a.npz", moments, "ab" * 32)
    found = read_moments(tmp_path / "a.npz", "ab" * 32)
    np.testing.assert_allclose(found, moments, rtol=1e-6)
    assert read_moments(tmp_path / "a.npz", "cd" * 32) is None
    assert read_moments(tmp_path / "a.npz", None) is None
    assert read_moments(tmp_path / "none.npz", "ab" * 32) is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04cut", b"text" * 99])
def test_a_damaged_file_is_none(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    assert read_moments(tmp_path / "a.npz", "ab" * 32) is None


@pytest.mark.parametrize("moments", [np.ones((2, 3)), np.full((2, 2), np.nan)])
def test_numbers_that_are_none_are_refused(tmp_path, moments):
    write_moments(tmp_path / "a.npz", moments, "ab" * 32)
    assert read_moments(tmp_path / "a.npz", "ab" * 32) is None
