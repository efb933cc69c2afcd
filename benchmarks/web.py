"""How the web app holds up under the frames of ten browsers; needs Linux.

python -m benchmarks.web --minutes 10

Ten visitors send frames of an example video as the page's script does: one after
another, at most 12 a second, and with a pause where frames queue. An eleventh asks for
a place every two seconds. Printed: how old a verdict is when it arrives, how many each
visitor gets, and what the server's process holds.
"""

import argparse
import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.inputs import VIDEOS
from benchmarks.soak import Sample, jpegs_of
from benchmarks.timing import ROOT

VISITORS = 10
EVERY_S = 0.083  # between two frames of a visitor, as in camera.js
WAIT_S = 2.0  # of who is told to wait
SAMPLE_EVERY_S = 10.0
WARM_UP_S = 60.0  # the libraries' own buffers grow until then
LIMIT_S = 1.0  # age of a verdict at most, in a mean over a run


@dataclass
class Visitor:
    """A browser's session, without a browser.

    Attributes:
        ages: Seconds from sending a frame to its verdict.
        waits: How often it was told to wait.
    """

    url: str
    ages: list[float] = field(default_factory=list)
    waits: int = 0

    def __post_init__(self) -> None:
        self._server = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        self._headers: dict[str, str] = {}
        page = self._ask("GET", "/")[1].decode()
        token = re.search(r'csrf-token" content="([^"]+)', page)[1]
        self._headers["X-CSRFToken"] = token
        self._path = ""

    def _ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        headers = {**self._headers, "Content-Type": "image/jpeg"}
        self._server.request(method, path, body, headers)
        response = self._server.getresponse()
        if cookie := response.getheader("Set-Cookie"):
            self._headers["Cookie"] = cookie.partition(";")[0]
        return response.status, response.read()

    def send(self, jpeg: bytes) -> None:
        """Send a frame; begin a new check when the last one is over."""
        if not self._path:
            self._path = json.loads(self._ask("POST", "/try")[1])["url"]
        start = time.perf_counter()
        status, body = self._ask("POST", self._path, jpeg)
        age_s = time.perf_counter() - start
        answer = json.loads(body)
        if status == 503:
            self.waits += 1
            time.sleep(WAIT_S)
        elif answer["state"] == "looking":
            self.ages.append(age_s)
            if answer["queue"]:
                time.sleep(age_s)
        else:  # its half minute is over, or it waited too long for a place
            self._path = ""
        time.sleep(max(0, EVERY_S - (time.perf_counter() - start)))


def visit(visitor: Visitor, jpegs: list[bytes], end_s: float) -> None:
    """Send frames until a time of the monotonic clock."""
    number = 0
    while time.monotonic() < end_s:
        visitor.send(jpegs[number % len(jpegs)])
        number += 1


def load(seconds: float) -> tuple[list[Visitor], list[Sample]]:
    """Load a server; returns the visitors, the last one too many, and samples."""
    jpegs = jpegs_of(VIDEOS[0])
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, ROOT / "liveness_app_web.py", "--port", "0"]
        command += ["--database", Path(folder) / "web.sqlite"]
        server = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, text=True
        )
        try:
            url = server.stdout.readline().split()[1]
            visitors = [Visitor(url) for _ in range(VISITORS + 1)]
            end_s = time.monotonic() + seconds
            threads = [
                threading.Thread(target=visit, args=(visitor, jpegs, end_s))
                for visitor in visitors
            ]
            for thread in threads:
                thread.start()
                time.sleep(0.3)  # so that the last is the one that waits
            return visitors, _samples(server.pid, end_s)
        finally:
            server.terminate()
            server.wait(30)
            server.stdout.close()


def _samples(pid: int, end_s: float) -> list[Sample]:
    """What the server holds every ten seconds until a time."""
    start_s, samples = time.monotonic(), []
    while (now_s := time.monotonic()) < end_s:
        time.sleep(min(SAMPLE_EVERY_S, end_s - now_s))
        samples.append(Sample.take(pid, time.monotonic() - start_s))
        print(samples[-1], file=sys.stderr, flush=True)
    return samples


def main() -> int:
    """Run the script; 0 if verdicts were young enough and the eleventh waited."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, metavar="M")
    arguments = parser.parse_args()
    seconds = 60 * arguments.minutes
    visitors, samples = load(seconds)
    ages = sorted(age for visitor in visitors for age in visitor.ages)
    late = ages[int(0.99 * len(ages))]
    print(
        f"{len(ages)} verdicts, {len(ages) / seconds / VISITORS:.1f} a second for each "
        f"of {VISITORS} visitors\n"
        f"age of a verdict: median {statistics.median(ages):.3f} s, 99 % within "
        f"{late:.3f} s, oldest {ages[-1]:.3f} s\n"
        f"told to wait: {sum(visitor.waits for visitor in visitors)} times"
    )
    warm = [sample for sample in samples if sample.seconds >= WARM_UP_S]
    if warm:
        print(f"warmed up: {warm[0]}\nend:       {warm[-1]}")
    return int(late > LIMIT_S or not visitors[-1].waits)


if __name__ == "__main__":
    sys.exit(main())
