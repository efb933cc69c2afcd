"""The page on use from Python: its code runs from top to bottom, as it stands."""

import re
import subprocess
import sys

import pytest

from liveness.constants import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What the page's code printed, and the folder that it ran in."""
    folder = tmp_path_factory.mktemp("page")
    for name in ("images", "videos"):
        (folder / name).symlink_to(ROOT / name)
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), folder


def test_the_code_of_the_page_runs_and_gives_what_it_says(ran):
    lines, folder = ran
    assert lines[0] == "8" and "8 crops" in PAGE
    assert len(list((folder / "mine/real").glob("*.png"))) == 8
    assert lines[1] == "mine.json" and (folder / "mine.h5").is_file()
    assert 0 <= float(lines[2]) <= 1
    assert any(line.startswith("APCER") for line in lines)
    label, score, box = lines[-1].split(maxsplit=2)
    assert (label, box) == ("real", "(224, 103, 423, 340)") and float(score) > 0.99
