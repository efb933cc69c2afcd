"""What ``run`` makes of a script: what a console cannot show is no crash."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NAMES = {
    "no-break": b"se\xc3\xb1or \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80.jpg",
    "not-utf-8": b"caf\xe9.jpg",
}


def run_script(*arguments: str | bytes, encoding: str) -> subprocess.CompletedProcess:
    """Run a script of the project in a console of an encoding."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
        timeout=120,
    )


@pytest.fixture(params=NAMES.values(), ids=NAMES)
def picture(request, tmp_path) -> bytes:
    """An example picture under a name that few consoles show."""
    path = os.path.join(os.fsencode(tmp_path), request.param)
    try:
        shutil.copy(ROOT / "images" / "reals" / "1.jpg", path)
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    return path


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_names_that_the_console_cannot_show(picture, encoding, tmp_path):
    found = run_script(
        *("liveness_app_from_picture.py", "--json"),
        *("-i", picture, os.fsencode(tmp_path / "no \u65e5\U0001f600.jpg")),
        encoding=encoding,
    )
    assert b"Traceback" not in found.stderr
    assert b"no such" in found.stderr.lower() or b"cannot read" in found.stderr
    lines = found.stdout.decode(encoding).splitlines()
    assert os.fsencode(json.loads(lines[0])["input"]) == picture
