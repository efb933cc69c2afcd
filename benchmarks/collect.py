"""Rows: collect_dataset.py on one 1080p video, and on a folder of videos.

python -m benchmarks.collect
"""

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.inputs import write_full_hd_video
from benchmarks.timing import (
    Aim,
    Row,
    alternate,
    main,
    module,
    process_seconds,
    ratio,
    run_process,
    script,
)

FRAMES = 600  # of the one video: 20 s
FOLDER_VIDEOS, FOLDER_FRAMES = 4, 200
CPU = """
import resource, sys, time
from pathlib import Path
import cv2
from liveness.constants import ROOT
from liveness.faces.detector import FaceDetector
def lap():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
capture = cv2.VideoCapture(sys.argv[1])
image = capture.read()[1]
start = lap()
frames = 0
while capture.grab():
    frames += 1
decode = (lap() - start) / frames
detector = FaceDetector(ROOT / "face_detector")
detector.detect(image)
start = lap()
for _ in range(20):
    detector.detect(image)
detect = (lap() - start) / 20
print(f"decoding a frame {1000 * decode:.1f} ms, the detector {1000 * detect:.0f} ms "
      f"every 16th frame, which is {detect / decode / 16:.0%} of the decoding")
"""  # processor time, summed over the threads


def measure(repetitions: int) -> list[Row]:
    """One video, then a folder of four with one core and with two."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            _one_video(Path(folder), repetitions),
            _folder(Path(folder), repetitions),
        ]


def _one_video(folder: Path, repetitions: int) -> Row:
    video = folder / "one.mp4"
    write_full_hd_video(video, frames=FRAMES)
    cases = {
        "usual": lambda: _collect_usually(folder, video),
        "ours": lambda: _collect(folder, video),
        "limit": lambda: process_seconds(module("bare_decoder", video)),
    }
    found = alternate(cases, repetitions)
    cpu = run_process([sys.executable, "-c", CPU, video]).strip()
    usual, ours, limit = found.values()
    aims = [
        Aim("times faster", ratio(usual, ours), 2, True),
        Aim("of the decoder alone", ratio(ours, limit), 1.2),
    ]
    what = f"collect_dataset.py -s 16, one 1080p video of {FRAMES} frames"
    return Row(what, "s", usual, ours, limit, aims, [f"Processor time: {cpu}."])


def _folder(folder: Path, repetitions: int) -> Row:
    videos = [folder / f"{number}.mp4" for number in range(FOLDER_VIDEOS)]
    for seed, video in enumerate(videos):
        write_full_hd_video(video, frames=FOLDER_FRAMES, seed=seed)
    one_core = str(min(os.sched_getaffinity(0)))
    cases = {
        "usual": lambda: _collect_usually(folder, *videos),
        "ours": lambda: _collect(folder, *videos),
        "ours, one by one": lambda: _collect(folder, *videos, jobs=1),
        "ours, one core": lambda: _collect(
            folder, *videos, jobs=1, prefix=("taskset", "-c", one_core)
        ),
    }
    found = alternate(cases, repetitions)
    ours = found["ours"]
    aims = [
        Aim("times one core", ratio(found["ours, one core"], ours), 1.8, True),
    ]
    by_one = ratio(found["usual"], found["ours, one by one"])
    notes = [
        f"On all cores with --jobs 1, where a thread detects while another decodes, "
        f"ours is {by_one:.2f} times faster than the usual way; with a process for "
        f"each core {ratio(found['usual'], ours):.2f} times."
    ]
    what = (
        f"collect_dataset.py -s 16, {FOLDER_VIDEOS} such videos of "
        f"{FOLDER_FRAMES} frames"
    )
    return Row(what, "s", found["usual"], ours, [], aims, notes)


def _collect(
    folder: Path,
    *videos: Path,
    jobs: int = os.cpu_count() or 1,
    prefix: tuple[str, ...] = (),
) -> float:
    """Seconds that collect_dataset.py takes, into a new folder."""
    with tempfile.TemporaryDirectory(dir=folder) as output:
        command = script(
            *("collect_dataset.py", "-i", *videos),
            *("-o", output, "-s", "16", "--jobs", str(jobs)),
        )
        return process_seconds([*prefix, *command])


def _collect_usually(folder: Path, *videos: Path) -> float:
    """Seconds that the usual way takes, into a new folder."""
    with tempfile.TemporaryDirectory(dir=folder) as output:
        return process_seconds(module("usual_collect", output, *videos))


if __name__ == "__main__":
    main(measure, repetitions=5)
