"""The label encoder's file: written by scikit-learn, read without trusting it."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import LabelEncoder

from liveness.errors import ModelError
from liveness.model.labels import LABELS, read_label_encoder, write_label_encoder

ROOT = Path(__file__).resolve().parent.parent


class _Runs:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def encoder_with(classes):
    encoder = LabelEncoder()
    encoder.classes_ = classes
    return encoder


def test_written_encoder_is_scikit_learns_and_reads_back(tmp_path):
    path = tmp_path / "label_encoder.pickle"
    write_label_encoder(path)
    encoder = pickle.loads(path.read_bytes())
    assert list(encoder.inverse_transform([0, 1])) == list(LABELS)
    assert read_label_encoder(path) == ["fake", "real"]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "classes",
    [
        np.array(["fake", "real"]),
        np.array(["fake", "real"], dtype=">U9"),
        np.array(["real", "fake"], dtype=object),
    ],
    ids=["text", "big-endian", "objects"],
)
def test_reads_every_protocol_and_kind_of_text(tmp_path, protocol, classes):
    path = tmp_path / "le.pickle"
    path.write_bytes(pickle.dumps(encoder_with(classes), protocol))
    assert read_label_encoder(path) == list(classes)


def test_reads_files_of_old_numpy_and_scikit_learn(tmp_path):
    content = pickle.dumps(LabelEncoder().fit(["real", "fake"]), 2)
    content = content.replace(b"numpy._core.", b"numpy.core.")
    content = content.replace(b"preprocessing._label", b"preprocessing.label")
    (tmp_path / "le.pickle").write_bytes(content)
    assert read_label_encoder(tmp_path / "le.pickle") == ["fake", "real"]


def test_reads_without_importing_scikit_learn(tmp_path):
    path = tmp_path / "le.pickle"
    write_label_encoder(path)
    code = (
        "import sys; from pathlib import Path; from liveness.model.labels import *\n"
        f"print(read_label_encoder(Path({str(path)!r})), 'sklearn' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert result.stdout.strip() == "['fake', 'real'] False", result.stderr


@pytest.mark.parametrize(
    "make",
    [
        lambda marker: _Runs(os.mkdir, str(marker)),
        lambda marker: _Runs(eval, f"__import__('os').mkdir({str(marker)!r})"),
        lambda marker: encoder_with(_Runs(os.mkdir, str(marker))),
        lambda marker: [
            LabelEncoder().fit(list(LABELS)),
            _Runs(os.mkdir, str(marker)),
        ],
    ],
    ids=["call", "eval", "inside-an-encoder", "beside-an-encoder"],
)
def test_pickle_that_runs_code_is_refused_and_runs_nothing(tmp_path, make):
    marker, path = tmp_path / "executed", tmp_path / "le.pickle"
    path.write_bytes(pickle.dumps(make(marker)))
    with pytest.raises(ModelError, match="which is not allowed") as refused:
        read_label_encoder(path)
    assert "\n" not in str(refused.value)
    assert not marker.exists()
    pickle.loads(path.read_bytes())  # the attack itself is real
    assert marker.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"fake,real\n", "damaged"),
        (pickle.dumps(LabelEncoder().fit(list(LABELS)))[:-40], "damaged"),
        (pickle.dumps(["fake", "real"]), "object of type list"),
        (pickle.dumps(LabelEncoder()), "damaged"),
        (pickle.dumps(encoder_with(np.array([0, 1]))), "not text"),
        (pickle.dumps(LabelEncoder().fit(["cat", "dog"])), "classes cat, dog"),
        (pickle.dumps(LabelEncoder().fit(["real"])), "classes real;"),
        (b"\x80\x04" + b"x" * 70_000, "larger than"),
        (b"\x80\x04]r\xff\xff\xff\xff.", "damaged"),
    ],
    ids=[
        "empty",
        "text",
        "truncated",
        "list",
        "unfitted",
        "numbers",
        "other-classes",
        "one-class",
        "huge",
        "memory",
    ],
)
def test_foreign_files_are_refused_with_one_line(tmp_path, content, message):
    path = tmp_path / "le.pickle"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as refused:
        read_label_encoder(path)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


def test_missing_file_says_who_writes_it(tmp_path):
    with pytest.raises(ModelError, match=r"no label encoder at .*train_model\.py"):
        read_label_encoder(tmp_path / "le.pickle")
