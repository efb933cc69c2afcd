"""A Dask scheduler and workers as processes, as people start them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from liveness.constants import ROOT
from tests.waiting import wait_for


@dataclass
class DaskProcesses:
    """A scheduler on loopback, and its workers.

    Attributes:
        folder: For the scheduler file and logs.
    """

    folder: Path
    processes: list[subprocess.Popen] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "scheduler.json"

    @property
    def address(self) -> str:
        return json.loads(self.file.read_text())["address"]

    def start(self, *words: str, root: Path = ROOT, **environment: str):
        """Start ``python -m dask ...`` in a session of its own."""
        with (self.folder / f"{len(self.processes)}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *words],
                cwd=root,
                env=os.environ | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def start_scheduler(self, root: Path = ROOT):
        process = self.start(
            *("scheduler", "--host", "127.0.0.1", "--port", "0"),
            *("--dashboard-address", "127.0.0.1:0"),
            *("--scheduler-file", str(self.file)),
            root=root,
        )
        wait_for(self.file.exists)
        return process

    def start_worker(self, root: Path = ROOT, *, threads: int = 1, **environment: str):
        return self.start(
            *("worker", "--scheduler-file", str(self.file), "--no-dashboard"),
            *("--host", "127.0.0.1", "--nthreads", str(threads)),
            *("--memory-limit", "0", "--death-timeout", "30"),
            root=root,
            **environment,
        )

    def stop(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


@contextlib.contextmanager
def dask_processes(folder: Path, *, workers: int = 2, root: Path = ROOT, **environment):
    """Start a scheduler and workers, and stop them."""
    started = DaskProcesses(folder)
    try:
        started.start_scheduler()
        for _ in range(workers):
            started.start_worker(root, **environment)
        if workers:
            from distributed import Client

            with Client(started.address, timeout=20) as client:
                client.wait_for_workers(workers, timeout=40)
        yield started
    finally:
        started.stop()


def worker_of(nanny: subprocess.Popen) -> int:
    """The process that a nanny has started for its worker."""

    def found() -> int | None:
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                text = path.read_text().rpartition(")")[2].split()
                command = (path.parent / "cmdline").read_bytes()
                if int(text[1]) == nanny.pid and b"spawn_main" in command:
                    return int(path.parent.name)
        return None

    return wait_for(found)
