"""Train without some sites and score them, on the workers of a Dask cluster.

Each fold trains in a process of its own that the worker starts: Keras draws weights
from Python's global random numbers, which threads of a worker use as well.
"""

import logging
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from liveness.cluster import Cluster, Killed, captured_warnings, log_again, report
from liveness.constants import ROOT
from liveness.data.dataset import Sample
from liveness.errors import DatasetError, LivenessError, OutputError
from liveness.evaluation.cross_validation import (
    how_of_fold,
    log_start,
    measure_fold,
    read_pixels,
    share_threads,
)
from liveness.evaluation.sites import Fold
from liveness.processes import set_up_logging

logger = logging.getLogger(__name__)

CODE = f"from {__name__} import measure_in_process; measure_in_process()"
LOOK_S = 1.0  # how often a worker looks whether its result is still wanted


@dataclass(frozen=True)
class _Task:
    """What the process of a fold needs to know.

    Attributes:
        held_out: Names of the parts that are left out.
        samples: Of all sites, with absolute paths.
        how: Further arguments of ``measure_fold``.
    """

    held_out: set[str]
    samples: Sequence[Sample]
    how: dict[str, Any]


def measure_folds_on_cluster(
    samples: Sequence[Sample],
    folds: Sequence[set[str]],
    cluster: Cluster,
    *,
    checkpoint: Path | None,
    **how: Any,
) -> Iterator[Fold]:
    """``measure_folds`` on the workers of a cluster, which read the crops themselves.

    Args:
        samples: Of all sites.
        folds: Of ``split_parts``.
        cluster: Whose workers train, with all threads of theirs for one fold.
        checkpoint: As in ``measure_folds``; on a disk that the workers share.
        how: Further arguments of ``measure_fold``.

    Yields:
        The folds, in order.

    Raises:
        OutputError: If every worker that trained a fold was killed.
        LivenessError: That a fold raised.
    """
    ours = {sample.path.absolute(): sample for sample in samples}
    theirs = [replace(sample, path=path) for path, sample in ours.items()]
    how["checkpoint"] = checkpoint and checkpoint.absolute()
    tasks = []
    for number, held_out in enumerate(folds, 1):
        tasks.append(_Task(held_out, theirs, how_of_fold(number, how)))
        log_start(number, held_out)
    done: dict[int, Fold] = {}
    for index, fold in cluster.run(_measure_on_worker, tasks, is_whole_worker=True):
        if isinstance(fold, Killed):
            raise OutputError(
                f"every worker that trained fold {index + 1} was killed: too little "
                "memory?"
            )
        logger.info("fold %d is done", index + 1)
        done[index] = replace(fold, samples=[ours[s.path] for s in fold.samples])
    yield from (done[index] for index in range(len(folds)))


def _measure_on_worker(task: _Task) -> Fold:
    """Return a fold that a process of this worker measures."""
    from distributed import get_worker

    threads = str(get_worker().state.nthreads)
    with tempfile.TemporaryDirectory() as folder:
        given, result = Path(folder, "task"), Path(folder, "result")
        given.write_bytes(pickle.dumps(task))
        code = (
            "from liveness.evaluation import cluster_folds as c; c.measure_in_process"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", f"{code}()", given, result, threads],
            cwd=ROOT,
            stdin=subprocess.PIPE,  # its end tells the process that we have ended
        )
        try:
            while process.poll() is None:
                report(0, 0)
                try:
                    process.wait(LOOK_S)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            process.kill()
            process.communicate()
        if not result.exists():
            raise OutputError(
                "the process of a fold ended unexpectedly: too little memory?"
            )
        value, lines = pickle.loads(result.read_bytes())
    log_again(lines)
    if isinstance(value, LivenessError):
        raise value
    return value


def measure_in_process() -> None:
    """Measure the fold that the first file names into the second."""
    threading.Thread(target=_end_with_worker, daemon=True).start()
    given, result, threads = sys.argv[1:]
    set_up_logging()
    share_threads(int(threads))
    task: _Task = pickle.loads(Path(given).read_bytes())
    with captured_warnings() as lines:
        try:
            value = _measured(task)
        except LivenessError as error:
            value = error
    Path(result).write_bytes(pickle.dumps((value, lines)))


def _measured(task: _Task) -> Fold:
    """Return a fold."""
    from liveness.model.keras_files import import_keras

    missing = next((s.path for s in task.samples if not s.path.exists()), None)
    if missing is not None:
        raise DatasetError(
            f"no file '{missing}' there: expected the same paths on all machines"
        )
    import_keras()
    pixels = read_pixels(task.samples, task.how["options"])
    return measure_fold(*pixels, task.held_out, **task.how)


def _end_with_worker() -> None:
    """End when the worker does, however it does."""
    sys.stdin.buffer.read()
    os._exit(1)
