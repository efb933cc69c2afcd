"""Whether a long live run keeps its memory, threads and files; needs Linux.

python -m benchmarks.soak --minutes 30

A stand-in for a phone sends an example video over and over, 60 frames a second, and
breaks off once a minute. The webcam app reads it without a window and looks at each
frame it can; what its process holds is printed every ten seconds.
"""

import argparse
import itertools
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2

from benchmarks.inputs import VIDEOS, model_options
from benchmarks.live_loop import CAMERA_FPS
from benchmarks.timing import script

SAMPLE_EVERY_S = 10.0
BREAK_EVERY_S = 60.0  # so that connecting again is part of the run
WARM_UP_S = 60.0  # the libraries' own buffers grow until then
END_S = 20.0  # for finishing after the time limit
HEAD = b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n"


class Phone(BaseHTTPRequestHandler):
    """Sends ``jpegs`` over and over, and breaks off after BREAK_EVERY_S."""

    jpegs: list[bytes]

    def do_GET(self) -> None:
        """Answer any path with the stream."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=frame")
        self.end_headers()
        end = time.monotonic() + BREAK_EVERY_S
        try:
            for jpeg in itertools.cycle(self.jpegs):
                self.wfile.write(HEAD + jpeg)
                time.sleep(1 / CAMERA_FPS)
                if time.monotonic() > end:
                    return
        except ConnectionError:  # the app has ended
            return

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Sample:
    """What a process holds at one moment."""

    seconds: float
    resident_mb: float
    threads: int
    files: int  # open ones, with sockets

    @classmethod
    def take(cls, pid: int, seconds: float) -> "Sample":
        """Read it from /proc; OSError if there is no such process."""
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines)
        resident_mb = int(status["VmRSS"].split()[0]) / 1024
        files = len(os.listdir(f"/proc/{pid}/fd"))
        return cls(seconds, resident_mb, int(status["Threads"]), files)

    def __str__(self) -> str:
        return (
            f"{self.seconds:6.0f} s  {self.resident_mb:6.1f} MB  "
            f"{self.threads} threads  {self.files} files"
        )


def jpegs_of(video: Path) -> list[bytes]:
    """The frames of a video as JPEG files."""
    capture = cv2.VideoCapture(str(video))
    jpegs = []
    while (image := capture.read()[1]) is not None:
        jpegs.append(cv2.imencode(".jpg", image)[1].tobytes())
    return jpegs


def soak(url: str, seconds: float) -> tuple[list[Sample], int]:
    """Run the app for so long; the samples, and its exit code."""
    samples = []
    with model_options() as model:
        command = script(
            *("liveness_app.py", "--no-display", "--json", "--source", url),
            *("--time-limit", str(seconds), *model),
        )
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as app:
            start = time.monotonic()
            while (now_s := time.monotonic() - start) < seconds + END_S:
                try:
                    app.wait(SAMPLE_EVERY_S)
                    break
                except subprocess.TimeoutExpired:
                    samples.append(Sample.take(app.pid, now_s + SAMPLE_EVERY_S))
                    print(samples[-1], flush=True)
            else:
                app.kill()
    return samples, app.returncode


def main() -> int:
    """Run the script; 0 if the app ran to its time limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, metavar="M")
    arguments = parser.parse_args()
    Phone.jpegs = jpegs_of(VIDEOS[0])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Phone)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/video"
    samples, code = soak(url, 60 * arguments.minutes)
    server.shutdown()
    warm = [sample for sample in samples if sample.seconds >= WARM_UP_S]
    if warm:
        print(f"warmed up: {warm[0]}\nend:       {warm[-1]}")
        print(f"highest:   {max(warm, key=lambda sample: sample.resident_mb)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
