"""Training without some sites and scoring them, fold by fold or in processes."""

import logging
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from liveness.data.dataset import Sample, require_both_labels
from liveness.errors import OutputError
from liveness.evaluation.sites import Fold, part_of, parts_shown
from liveness.processes import set_up_logging
from liveness.training.pixels import Pixels, load_pixels
from liveness.training.recipe import TrainingOptions

logger = logging.getLogger(__name__)

_worker: dict[str, Any] = {}  # what a process for folds keeps from one to the next


def measure_fold(
    to_train: Pixels,
    filmed: Pixels,
    held_out: set[str],
    architecture: type,
    options: TrainingOptions,
    *,
    within: str | None = None,
    changes: bool = False,
    never_train: frozenset[str] = frozenset(),
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Fold:
    """Train without some parts and score them.

    Args:
        to_train: All samples as training reads them, with simulated attacks.
        filmed: The same samples as the apps feed them, without simulated attacks.
        held_out: Names of the parts that neither train nor choose anything.
        architecture: As in ``train_average``.
        options: How to train.
        within: As in ``split_parts``.
        changes: Score them after each of ``CHANGES``, too.
        never_train: Names of further parts that do not train.
        checkpoint: As in ``train_average``.
        resume: As in ``train_average``.
    """
    from liveness.evaluation.changes import CHANGES
    from liveness.training.fit import score, train_average

    absent = held_out | never_train
    training = to_train.only(lambda s: not absent & parts_shown(s, within))
    names = ", ".join(sorted(held_out))
    require_both_labels(training.samples, f"what is left without {names}")
    left_out = filmed.only(lambda s: part_of(s, within) in held_out)
    model, _ = train_average(
        training, None, architecture, options, checkpoint=checkpoint, resume=resume
    )
    changed = {
        name: score(model, load_pixels(left_out.samples, options, change=change))
        for name, change in (CHANGES if changes else {}).items()
    }
    parts = [part_of(sample, within) for sample in left_out.samples]
    return Fold(left_out.samples, parts, score(model, left_out), changed)


def measure_folds(
    samples: Sequence[Sample],
    folds: Sequence[set[str]],
    architecture: type,
    options: TrainingOptions,
    *,
    within: str | None = None,
    changes: bool = False,
    never_train: frozenset[str] = frozenset(),
    checkpoint: Path | None = None,
    resume: bool = False,
    jobs: int = 1,
) -> Iterator[Fold]:
    """``measure_fold`` for each part, ``jobs`` at a time.

    Args:
        samples: Of all sites.
        folds: Of ``split_parts``.
        architecture: As in ``train_average``; importing its module must not load
            TensorFlow, for the sake of the processes.
        options: How to train, and whether attacks are simulated.
        within: As in ``split_parts``.
        changes: As in ``measure_fold``.
        never_train: As in ``measure_fold``.
        checkpoint: As in ``measure_fold``; the name of each fold's has its number.
        resume: As in ``measure_fold``.
        jobs: Processes. One trains in this one.

    Yields:
        The folds, in order.

    Raises:
        OutputError: If a process was killed, as for want of memory.
    """
    workers = min(jobs, len(folds))
    how = {"architecture": architecture, "within": within, "changes": changes}
    how |= {"options": options, "never_train": never_train, "resume": resume}
    how["checkpoint"] = checkpoint
    pixels = read_pixels(samples, options)
    if workers > 1:
        yield from _measure_in_processes(pixels, folds, how, workers)
        return
    for number, held_out in enumerate(folds, 1):
        log_start(number, held_out)
        yield measure_fold(*pixels, held_out, **how_of_fold(number, how))


def _measure_in_processes(
    pixels: tuple[Pixels, Pixels],
    folds: Sequence[set[str]],
    how: dict[str, Any],
    workers: int,
) -> Iterator[Fold]:
    """``measure_folds`` in several processes, which read the same pixels.

    One network on all processors uses them worse than a network on each.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    is_verbose = logging.getLogger("liveness").isEnabledFor(logging.DEBUG)
    context = multiprocessing.get_context("spawn")  # TensorFlow survives no fork
    settings = (threads, is_verbose, pixels, how)
    with ProcessPoolExecutor(workers, context, _start_worker, settings) as pool:
        try:
            futures = [
                pool.submit(_measure_in_worker, number, held_out)
                for number, held_out in enumerate(folds, 1)
            ]
            for future in futures:
                yield future.result()
        except BrokenProcessPool as error:
            raise OutputError(
                "the process of a fold ended unexpectedly: too little memory? "
                "Try --jobs 1"
            ) from error
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()  # else we wait for trainings that nobody needs
            raise


def _start_worker(
    threads: int,
    is_verbose: bool,
    pixels: tuple[Pixels, Pixels],
    how: dict[str, Any],
) -> None:
    """Prepare a process for folds."""
    from liveness.processes import obey_parent

    obey_parent()
    from tqdm import tqdm

    from liveness.model.keras_files import import_keras

    tqdm.set_lock(threading.RLock())  # its own is left behind if we are terminated
    share_threads(threads)
    import_keras()
    _worker["is_verbose"], _worker["pixels"], _worker["how"] = is_verbose, pixels, how


def share_threads(threads: int) -> None:
    """Limit OpenCV, and TensorFlow once it is imported, to this many threads."""
    import cv2

    cv2.setNumThreads(threads)
    for kind in ("INTRAOP", "INTEROP"):
        os.environ.setdefault(f"TF_NUM_{kind}_THREADS", str(threads))


def _measure_in_worker(number: int, held_out: set[str]) -> Fold:
    """Measure a fold in a worker process; its log lines name the fold."""
    set_up_logging(verbose=_worker["is_verbose"])
    log_start(number, held_out)
    set_up_logging(verbose=_worker["is_verbose"], prefix=f"fold {number}: ")
    return measure_fold(
        *_worker["pixels"], held_out, **how_of_fold(number, _worker["how"])
    )


def how_of_fold(number: int, how: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``measure_fold`` for a fold, with its own checkpoint."""
    checkpoint = how["checkpoint"]
    return how | {"checkpoint": checkpoint and checkpoint_of_fold(checkpoint, number)}


def checkpoint_of_fold(checkpoint: Path, number: int) -> Path:
    """Return the checkpoint of a fold; folds are counted from 1."""
    return checkpoint.with_stem(f"{checkpoint.stem}-fold-{number}")


def log_start(number: int, held_out: set[str]) -> None:
    """Say what a fold leaves out."""
    logger.info("fold %d leaves out %s", number, ", ".join(sorted(held_out)))


def read_pixels(
    samples: Sequence[Sample], options: TrainingOptions
) -> tuple[Pixels, Pixels]:
    """Return all samples as training reads them, and as the apps see them."""
    to_train = load_pixels(
        samples,
        options,
        to_train=True,
        simulate_attacks=options.simulate_attacks,
        progress="training faces",
    )
    filmed = load_pixels(samples, options, progress="faces to score")
    for reason in sorted({*to_train.skipped, *filmed.skipped}):
        logger.warning("skipped: %s", reason)
    return to_train, filmed
