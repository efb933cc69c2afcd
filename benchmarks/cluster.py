"""What a Dask cluster costs, and that it loses nothing; needs Linux, ten minutes.

python -m benchmarks.cluster

Real schedulers and workers on loopback. First: collecting films with one and two
workers beside ``--jobs 1`` and ``--jobs 2``. Then: the scheduler's processor time for a
call that does nothing, with 1, 4 and 16 workers. Last: 2,000 short films while workers
are killed; each crop has to be there, once.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.inputs import VIDEOS
from benchmarks.timing import ROOT
from liveness.cluster import Cluster
from liveness.data.crops_table import CSV_NAME
from liveness.io.files import VIDEO_SUFFIXES
from liveness.sources.ffmpeg import av
from tests.clusters import DaskProcesses, dask_processes, worker_of

FILMS, REPETITIONS = 12, 2
CALLS = 2000
WORKERS = (1, 4, 16)
SHORT_FILMS, SHORT_FRAMES = 2000, 16
KILL_AFTER_FILMS = (300, 900)
TICKS = os.sysconf("SC_CLK_TCK")


def nothing(item: int) -> int:
    """What a call does whose cost is measured."""
    return item


def copies(film: bytes, folder: Path, count: int) -> None:
    """Write a film so often, each with other bytes in an atom that players skip."""
    folder.mkdir()
    for number in range(count):
        atom = (12).to_bytes(4, "big") + b"free" + number.to_bytes(4, "big")
        (folder / f"{number}{VIDEO_SUFFIXES[0]}").write_bytes(film + atom)


def beginning_of(path: Path, frames: int, into: Path) -> bytes:
    """The first frames of a film, encoded again."""
    with av.open(str(path)) as film, av.open(str(into), "w") as short:
        stream = short.add_stream("libx264", rate=30)
        for number, frame in enumerate(film.decode(video=0)):
            if number == frames:
                break
            if not number:
                stream.width, stream.height = frame.width, frame.height
                stream.pix_fmt = "yuv420p"
            picture = frame.reformat(format="yuv420p")
            picture.pts = None
            short.mux(stream.encode(picture))
        short.mux(stream.encode())
    return into.read_bytes()


def collect(
    films: Path, output: Path, *options: object, one_core: bool = False
) -> float:
    """Seconds of a whole process that collects."""
    command = [sys.executable, ROOT / "collect_dataset.py", "-i", films, "-o", output]
    command += ["-s", 4, *options]
    start = time.perf_counter()
    subprocess.run(
        list(map(str, command)),
        check=True,
        capture_output=True,
        preexec_fn=(lambda: os.sched_setaffinity(0, {0})) if one_core else None,
    )
    return time.perf_counter() - start


def overhead(folder: Path) -> None:
    """Print the seconds of one and two workers beside as many jobs.

    One job and one worker have one core each: a job alone would take all.
    """
    copies(VIDEOS[0].read_bytes(), folder / "films", FILMS)
    for workers in (1, 2):
        with dask_processes(_new(folder, "dask"), workers=workers) as cluster:
            if workers == 1:
                _pin(worker_of(cluster.processes[1]))
            jobs, dask = [], []
            for number in range(REPETITIONS):
                place = folder / f"{workers}-{number}"
                how = "--jobs", workers
                one_core = workers == 1
                jobs.append(
                    collect(folder / "films", place / "a", *how, one_core=one_core)
                )
                where = "--cluster", cluster.file
                dask.append(collect(folder / "films", place / "b", *where))
        one, other = min(jobs), min(dask)
        print(
            f"{FILMS} films, {workers} at a time: --jobs {one:.2f} s, --cluster "
            f"{other:.2f} s, {other / one - 1:+.0%}",
            flush=True,
        )


def _pin(pid: int) -> None:
    """Let all threads of a process run on the first core alone."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {0})


def cost_of_calls(folder: Path) -> None:
    """Print the processor time of scheduler and client for a call that does nothing."""
    for workers in WORKERS:
        with (
            dask_processes(_new(folder, "dask"), workers=workers) as processes,
            Cluster(processes.address) as cluster,
        ):
            for _ in cluster.run(nothing, range(100)):  # first, what loads once
                pass
            scheduler = processes.processes[0].pid
            used, ours = cpu_s(scheduler), time.process_time()
            start = time.perf_counter()
            for _ in cluster.run(nothing, range(CALLS)):
                pass
            seconds = (time.perf_counter() - start) / CALLS
            used = (cpu_s(scheduler) - used) / CALLS
            ours = (time.process_time() - ours) / CALLS
        print(
            f"a call that does nothing, {workers} workers: scheduler {1000 * used:.2f} "
            f"ms, client {1000 * ours:.2f} ms of processor time, {1000 * seconds:.2f} "
            "ms in all",
            flush=True,
        )


def cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def kills(folder: Path) -> bool:
    """Collect many films while workers are killed; true if every crop is there once."""
    short = beginning_of(VIDEOS[0], SHORT_FRAMES, folder / "short.mp4")
    copies(short, folder / "many", SHORT_FILMS)
    with dask_processes(_new(folder, "dask"), workers=2) as cluster:
        output = folder / "crops"
        killer = threading.Thread(target=_kill, args=(cluster, output), daemon=True)
        killer.start()
        seconds = collect(folder / "many", output, "--cluster", cluster.file)
        killer.join(5)
        killed = not killer.is_alive()
    rows = (output / CSV_NAME).read_text().splitlines()[1:]
    sources = {row.split(",")[1] for row in rows}
    crops = len(list(output.glob("*.png")))
    expected = SHORT_FILMS * (SHORT_FRAMES // 4)
    print(
        f"{SHORT_FILMS} films in {seconds:.0f} s, {len(KILL_AFTER_FILMS)} workers "
        f"killed: {killed}; {crops} crops of {len(sources)} films, expected {expected} "
        f"of {SHORT_FILMS}"
    )
    return killed and crops == len(rows) == expected and len(sources) == SHORT_FILMS


def _kill(cluster: DaskProcesses, output: Path) -> None:
    """Kill a worker each time so many films are done."""
    for number, films in enumerate(KILL_AFTER_FILMS, 1):
        crops = films * (SHORT_FRAMES // 4)
        while not (output / f"{crops}.png").exists():
            time.sleep(0.05)
        os.kill(worker_of(cluster.processes[number]), signal.SIGKILL)


def _new(folder: Path, name: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=name, dir=folder))


def main() -> int:
    """Run the script; 0 if nothing was lost."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overhead(folder)
        cost_of_calls(folder)
        return int(not kills(folder))


if __name__ == "__main__":
    sys.exit(main())
