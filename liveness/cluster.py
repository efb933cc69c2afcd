"""Run a function for many items on the workers of a Dask scheduler.

The scheduler and the workers run in the project's folder, in an environment like the
one here: what is sent to them are names of functions, and plain values.
"""

import hashlib
import json
import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from liveness.constants import ROOT
from liveness.errors import ClusterError, LivenessError

if TYPE_CHECKING:
    from distributed import Client, Future

LOCAL = "local"
TOPIC = "liveness-progress"
CONNECT_S = 10.0  # for the scheduler, and then for its first worker
GATHER_S = 30.0  # for a result to come, until progress is reported again
POLL_S = 0.2  # how often progress is reported
REPORT_S = 1.0  # how often a task says how far it is
COUNT_S = 2.0  # how often workers are counted
AHEAD = 1.25  # tasks sent for each that can run, so that no worker waits for the next

# Other versions of these may find or cut other faces.
PACKAGES = ("opencv-python", "numpy", "av", "tensorflow", "keras")

LogLine = tuple[str, int, str]  # name of the logger, level, text

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Killed:
    """Takes the place of a result: every worker that had the item was killed."""


class Cluster:
    """Workers of a Dask scheduler; a context manager.

    Args:
        address: ``local`` for workers on this machine, the address of a scheduler such
            as ``tcp://host:8786``, or its scheduler file.

    Raises:
        ClusterError: On entering, if it cannot be reached, has no workers, or a worker
            has other versions than this machine.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: Client | None = None
        self._cluster: Any = None

    def __enter__(self) -> Self:
        try:
            import distributed
        except ImportError as error:
            raise ClusterError(
                "--cluster needs more packages: pip install -r requirements-cluster.txt"
            ) from error
        if not logger.isEnabledFor(logging.DEBUG):
            _silence()
        try:
            self._client = self._connect(distributed)
            self._wait_for_workers()
            self._check_workers()
        except BaseException:
            self.__exit__()
            raise
        logger.info(
            "threads on the cluster: %d, dashboard: %s",
            sum(self._client.nthreads().values()),
            self._client.dashboard_link,
        )
        return self

    def __exit__(self, *_: object) -> None:
        for part in (self._client, self._cluster):
            if part is not None:
                part.close(timeout=5)

    def _connect(self, distributed: Any) -> "Client":
        """Return a client of the scheduler, which is started if it is a local one."""
        if self._address == LOCAL:
            # Loopback alone: a scheduler runs whatever it is sent.
            self._cluster = distributed.LocalCluster(
                host="127.0.0.1",
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
            return distributed.Client(self._cluster, direct_to_workers=True)
        is_file = "://" not in self._address
        try:
            if is_file:  # a client would wait for it to come
                json.loads(Path(self._address).read_text(encoding="utf-8"))["address"]
            return distributed.Client(
                None if is_file else self._address,
                scheduler_file=self._address if is_file else None,
                timeout=CONNECT_S,
                direct_to_workers=True,  # crops need not pass through the scheduler
            )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise ClusterError(
                f"cannot reach the scheduler at '{self._address}': expected its "
                "address, such as tcp://host:8786, its scheduler file, or 'local'"
            ) from error

    def _wait_for_workers(self) -> None:
        """Wait for the first worker."""
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError as error:
            raise ClusterError(
                f"the scheduler at '{self._address}' has no workers: start some with "
                f"python -m dask worker {self._address}"
            ) from error

    def _check_workers(self) -> None:
        """Compare the workers with this machine."""
        try:
            found = self._client.run(versions)
        except Exception as error:
            raise _foreign(error) from error
        for address, theirs in found.items():
            check_versions(theirs, versions(), address)

    def run(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        *,
        is_whole_worker: bool = False,
        on_progress: Callable[[int, int], None] = lambda done, promised: None,
    ) -> Iterator[tuple[int, Any]]:
        """Call a function for each item on a worker.

        Args:
            function: Of a module of this package; takes an item.
            items: What it is called with; can be pickled.
            is_whole_worker: Whether a call takes all threads of a worker, not one.
            on_progress: Called a few times a second with the sums of what the calls
                have told ``report``.

        Yields:
            Number of the item and the result, in the order in which they are done.
            ``Killed`` is the result of an item that killed its worker each time.

        Raises:
            LivenessError: That a call raised.
            ClusterError: If the scheduler is lost.
        """
        run = _Run(self._client, function, is_whole_worker, on_progress)
        try:
            yield from run.results(items)
        finally:
            run.cancel()


class _Run:
    """The calls of one ``Cluster.run``."""

    def __init__(
        self,
        client: "Client",
        function: Callable[[Any], Any],
        is_whole_worker: bool,
        on_progress: Callable[[int, int], None],
    ) -> None:
        self._client = client
        self._function = function
        self._is_whole_worker = is_whole_worker
        self._on_progress = on_progress
        self._name = f"{function.__name__.strip('_')}-{time.time_ns():x}"
        self._running: dict[int, Future] = {}
        self._done: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._progress: dict[int, tuple[int, int]] = {}
        self._workers: dict[str, int] = {}  # threads by address
        self._counted_s = float("-inf")
        client.subscribe_topic(TOPIC, self._hear)

    def results(self, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """See ``Cluster.run``."""
        waiting = deque(range(len(items)))
        suspects: deque[int] = deque()  # that were on workers that were killed
        is_alone = False
        while waiting or suspects or self._running:
            while waiting and len(self._running) < self._count_room():
                self._submit(waiting.popleft(), items)
            if suspects and not self._running:
                # Alone, so that it is told from those that were beside it.
                is_alone = True
                self._submit(suspects.popleft(), items)
            number = self._wait()
            if number is None:
                continue
            result = self._result_of(self._running.pop(number))
            if isinstance(result, Killed) and not is_alone:
                suspects.append(number)
            else:
                yield number, result
        self._report()

    def cancel(self) -> None:
        """Stop what is running: nobody waits for it any more."""
        if self._client.status == "running":
            self._client.cancel(list(self._running.values()))
            self._client.unsubscribe_topic(TOPIC)

    def _submit(self, number: int, items: Sequence[Any]) -> None:
        """Send an item."""
        future = self._client.submit(
            _perform,
            *(self._function, items[number], versions(), self._is_whole_worker),
            key=f"{self._name}-{number}-{time.time_ns():x}",
            workers=self._idle_workers() if self._is_whole_worker else None,
            allow_other_workers=self._is_whole_worker,  # if that one goes away
            pure=False,
        )
        self._running[number] = future
        future.add_done_callback(lambda _: self._done.put(number))

    def _idle_workers(self) -> list[str]:
        """Return the workers that have nothing to do, or all."""
        busy = self._client.processing()
        return [one for one in self._workers if not busy.get(one)] or [*self._workers]

    def _wait(self) -> int | None:
        """Return the number of an item that is done; None if none is yet."""
        self._report()
        try:
            return self._done.get(timeout=POLL_S)
        except queue.Empty:
            if self._client.status != "running":
                raise _lost() from None
            return None

    def _result_of(self, future: "Future") -> Any:
        """Return what a call returned, and log what it logged."""
        from distributed import KilledWorker

        while True:
            try:
                value, lines = future.result(timeout=GATHER_S)
            except TimeoutError:  # the worker that had it is lost: it is done again
                self._report()
            except KilledWorker:
                return Killed()
            except LivenessError:
                raise
            except Exception as error:
                if future.cancelled() or self._client.status != "running":
                    raise _lost() from error
                raise _foreign(error) from error
            else:
                log_again(lines)
                return value

    def _count_room(self) -> int:
        """Return how many calls may be under way, and notice new workers."""
        now_s = time.monotonic()
        if now_s - self._counted_s > COUNT_S:
            self._workers, self._counted_s = self._client.nthreads(), now_s
            if not self._workers:
                logger.warning("the cluster has no workers: waiting for one")
        if self._is_whole_worker:
            return max(1, len(self._workers))
        return max(1, math.ceil(AHEAD * sum(self._workers.values())))

    def _hear(self, event: tuple[float, Any]) -> None:
        """Take note of how far a call is."""
        key, done, promised = event[1]
        name, _, rest = key.rpartition("-")[0].rpartition("-")
        if name == self._name:
            self._progress[int(rest)] = (done, promised)

    def _report(self) -> None:
        told = list(self._progress.values())
        self._on_progress(sum(one[0] for one in told), sum(one[1] for one in told))


def report(done: int, promised: int) -> None:
    """Tell, from within a call, how far it is; cheap enough for each frame.

    Args:
        done: Of the units of ``on_progress``.
        promised: How many there will be.

    Raises:
        ClusterError: If nobody waits for the result any more.
    """
    _thread.told = (done, promised)
    now_s = time.monotonic()
    if now_s - getattr(_thread, "told_s", 0) >= REPORT_S:
        _thread.told_s = now_s
        _tell()


def _tell() -> None:
    """Send what the call of this thread has told last."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    task = worker.state.tasks.get(key)
    if task is None or task.state == "cancelled":
        raise ClusterError("stopped")
    worker.log_event(TOPIC, (key, *_thread.told))


_thread = threading.local()


@cache
def versions() -> dict[str, str]:
    """Return what has to be alike on all machines, by name."""
    from importlib.metadata import PackageNotFoundError, version  # not for --jobs

    digest = hashlib.sha256()
    paths = [ROOT / "livenessnet.py", *(ROOT / "liveness").rglob("*.py")]
    for path in sorted(paths):
        digest.update(path.relative_to(ROOT).as_posix().encode())
        digest.update(path.read_bytes())
    found = {"this project": digest.hexdigest()[:12]}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def check_versions(theirs: dict[str, str], ours: dict[str, str], place: str) -> None:
    """Refuse a worker with other versions.

    Raises:
        ClusterError: That names the first difference.
    """
    for name, ours_one in ours.items():
        if theirs.get(name) != ours_one:
            raise ClusterError(
                f"the worker at {place} has {name} {theirs.get(name)}, and here it is "
                f"{ours_one}: expected the same everywhere"
            )


_whole_worker = threading.Lock()  # of a worker: is held by a call that takes all of it


def _perform(
    function: Callable[[Any], Any],
    item: Any,
    ours: dict[str, str],
    is_whole_worker: bool,
) -> tuple[Any, list[LogLine]]:
    """Call a function on a worker; returns its result and what it logged."""
    from distributed import get_worker

    place = get_worker().address
    check_versions(versions(), ours, place)  # it may have come later
    whole = _whole_worker if is_whole_worker else nullcontext()
    with whole, captured_warnings() as lines:
        _thread.told = (0, 0)
        try:
            value = function(item)
            _tell()  # the last of it, which may have come too soon after another
            return value, lines
        except LivenessError as error:
            raise type(error)(f"worker at {place}: {error}") from error


@contextmanager
def captured_warnings() -> Iterator[list[LogLine]]:
    """Collect the warnings of this thread, which a worker's log would hide."""
    lines: list[LogLine] = []
    thread = threading.get_ident()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                lines.append((record.name, record.levelno, record.getMessage()))

    handler = Handler(logging.WARNING)
    log = logging.getLogger("liveness")
    log.addHandler(handler)
    try:
        yield lines
    finally:
        log.removeHandler(handler)


def log_again(lines: Sequence[LogLine]) -> None:
    """Log what ``captured_warnings`` collected elsewhere."""
    for name, level, text in lines:
        logging.getLogger(name).log(level, "%s", text)


def _foreign(error: BaseException) -> ClusterError:
    """Return the failure of a cluster that does not know what it was sent."""
    return ClusterError(
        "the cluster cannot run this project "
        f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}):"
        " start its scheduler and workers in the project's folder and environment"
    )


def _silence() -> None:
    """Keep Dask's own log from the terminal; what it means is said here."""
    for name in logging.root.manager.loggerDict:
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _lost() -> ClusterError:
    return ClusterError(
        "lost the scheduler; what was done is kept: run the same command again to go on"
    )
