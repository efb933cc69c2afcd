"""PyAV beside OpenCV."""

import ast
import subprocess
import sys

from apps import ROOT


def test_only_one_module_imports_pyav():
    """Imported before OpenCV it makes OpenCV's windows hang."""
    importers = []
    for path in [*ROOT.glob("*.py"), *ROOT.glob("[!.]*/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.split(".")[0] == "av" for name in names):
                importers.append(path.relative_to(ROOT).as_posix())
    assert importers == ["liveness/sources/ffmpeg.py"]


def test_opencv_is_there_before_it():
    code = (
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'av': print('cv2' in sys.modules)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import liveness.sources.ffmpeg\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_ffmpeg_writes_no_lines_of_its_own(tmp_path):
    (tmp_path / "a.mp4").write_bytes(bytes(range(256)) * 20)
    code = (
        "import sys; from liveness.sources.frames import VideoFile\n"
        "try: VideoFile(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.mp4"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("SourceError\n", "")
