"""Training of a network on samples; importing this module imports TensorFlow.

Pictures are decoded, cropped and resized once, into a file of bytes on disk that
every epoch reads from; memory does not grow with the data set.
"""

import logging
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from liveness.augment import another_camera
from liveness.boxes import square_around
from liveness.changes import Change
from liveness.dataset import Sample, read_crop
from liveness.errors import DatasetError, ImageError
from liveness.labels import FAKE, LABELS, REAL
from liveness.memory import keep_freed_memory
from liveness.preprocess import (
    CROP_SCALE,
    LEAST_FILMED,
    crop_face,
    filmed_box,
    views_of_crop,
    whole_box,
)
from liveness.simulate import KINDS, compose_attack, simulate

VIEW_SCALES = (0.68, CROP_SCALE)  # inside the face, and with its surroundings
INPUT_SIZE_PX = 80
ROOM = 1.1  # a view inside the face is larger to train on: room to shift
TRAINING_SIZE_PX = 104  # of such a view
EPOCH_SAMPLES = (640, 16000)  # least and most pictures drawn for one epoch
SCORING_BATCH = 256
LABEL_SMOOTHING = 0.05
WEIGHT_DECAY = 1e-2
AVERAGING_MOMENTUM = 0.99  # of the averaged weights: about the last 100 batches
SIMULATED = "simulated "  # how the name of a simulated kind of attack starts
SITE_EXPONENT = 0.25  # of a site's size: 0 weighs sites alike, 1 pictures alike
KIND_SHARES = (0.65, 0.35)  # of screens and prints among simulated attacks
SIMULATED_SHARE = 0.3  # of the drawn fakes, where filmed ones are there too
COMPOSED_SHARE = 0.85  # of simulated attacks with surroundings: device or paper
SIMULATED_EACH = 3  # simulated attacks made of each bona fide sample
BARE_SHARE = 0.4  # of what a wide view learns from that shows the face alone

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; the defaults are those of train_model.py."""

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 2e-3
    patience: int = 8
    simulate_attacks: bool = False
    input_size_px: int = INPUT_SIZE_PX
    view_scales: tuple[float, ...] = VIEW_SCALES
    seed: int = 42
    networks: int = 1


class PixelFile:
    """Pictures of one size in a nameless file that ends with this object.

    Read and written piece by piece: a mapping of the file would count as memory.

    Args:
        shape: Of one picture, uint8.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._bytes = int(np.prod(shape))
        self._file = tempfile.TemporaryFile(prefix="liveness-")
        self._lock = threading.Lock()

    def write(self, place: int, picture: np.ndarray) -> None:
        """Put a picture at a place, 0 or more."""
        with self._lock:
            self._file.seek(place * self._bytes)
            self._file.write(picture.tobytes())

    def read(self, places: Sequence[int] | np.ndarray) -> np.ndarray:
        """(n, *shape) uint8, the pictures at these places."""
        pictures = np.empty((len(places), *self.shape), np.uint8)
        with self._lock:
            for picture, place in zip(pictures, places, strict=True):
                self._file.seek(int(place) * self._bytes)
                self._file.readinto(memoryview(picture).cast("B"))
        return pictures


@dataclass(frozen=True)
class Pixels:
    """Samples and their views, read from disk as they are needed.

    Attributes:
        samples: What each row shows; simulated attacks carry their kind.
        store: (side, side, 3) uint8 BGR on disk, the views of a sample in a row.
        views: How many.
        places: (N,) where in the store the first view of each sample is.
        skipped: Pictures that could not be used, with the reason.
    """

    samples: list[Sample]
    store: PixelFile
    views: int
    places: np.ndarray
    skipped: list[str]

    @property
    def targets(self) -> np.ndarray:
        """(N,) int32 index of each label in ``LABELS``."""
        return np.array([LABELS.index(s.label) for s in self.samples], np.int32)

    @property
    def attacks(self) -> list[str]:
        """Kind of attack of each row, empty for bona fide."""
        return [sample.attack for sample in self.samples]

    def read(self, rows: np.ndarray | slice) -> np.ndarray:
        """(n, side, side, 3 * views) uint8 of these rows."""
        views = [self.read_view(rows, view) for view in range(self.views)]
        return np.concatenate(views, axis=3)

    def read_view(self, rows: np.ndarray | slice, view: int) -> np.ndarray:
        """(n, side, side, 3) uint8: one view of these rows."""
        return self.store.read(self.places[rows] + view)

    def only(self, wanted: Callable[[Sample], bool]) -> "Pixels":
        """The samples for which ``wanted`` holds; nothing is copied."""
        rows = [row for row, sample in enumerate(self.samples) if wanted(sample)]
        kept = [self.samples[row] for row in rows]
        return replace(self, samples=kept, places=self.places[rows])


def load_pixels(
    samples: Sequence[Sample],
    options: TrainingOptions,
    *,
    to_train: bool = False,
    simulate_attacks: bool = False,
    change: Change | None = None,
    progress: str | None = None,
) -> Pixels:
    """Decode, crop and resize samples into a file that goes away by itself.

    Args:
        samples: What to read; the unreadable are skipped, counted and listed.
        options: Views and input size.
        to_train: Read what ``train`` varies: a little more than the network sees,
            and all views of all samples; else what the apps feed it.
        simulate_attacks: Add simulated attacks, ``SIMULATED_EACH`` for each bona
            fide sample.
        change: Of each crop before it is made smaller, as one of ``CHANGES``.
        progress: Name of the progress bar; None shows none.

    Raises:
        DatasetError: If no sample can be read.
    """
    jobs: list[tuple[Sample, Sample | None, str | None]] = [
        (sample, None, None) for sample in samples
    ]
    if simulate_attacks:
        jobs += _planned_attacks(samples, options.seed)
    side, scales = options.input_size_px, options.view_scales
    if to_train:
        side = TRAINING_SIZE_PX * side // INPUT_SIZE_PX
        scales = tuple(min(scale * ROOM, CROP_SCALE) for scale in scales)
    store = PixelFile((side, side, 3))

    def fill(number: int) -> Sample | str:
        rng = np.random.default_rng((options.seed, number))
        try:
            crop, scale = _crop_of(*jobs[number], rng)
        except ImageError as error:
            return str(error)
        crop = change(crop) if change else crop
        views = views_of_crop(
            crop,
            crop_scale=scale,
            view_scales=scales,
            side_px=side,
            least_filmed=0 if to_train else LEAST_FILMED,
        )
        for view, picture in enumerate(np.split(views, len(scales), axis=2)):
            store.write(number * len(scales) + view, picture)
        return _sample_of(*jobs[number], scale)

    with ThreadPoolExecutor() as pool:  # OpenCV works outside Python's lock
        results = list(
            tqdm(
                pool.map(fill, range(len(jobs))),
                total=len(jobs),
                desc=progress,
                disable=None if progress else True,
            )
        )
    kept = [number for number, one in enumerate(results) if isinstance(one, Sample)]
    skipped = sorted({one for one in results if isinstance(one, str)})
    if not kept:
        raise DatasetError(f"none of the pictures can be read: {skipped[0]}")
    return Pixels(
        [results[number] for number in kept],
        store,
        len(scales),
        np.array(kept) * len(scales),
        skipped,
    )


def train(
    training: Pixels,
    validation: Pixels | None,
    architecture: type,
    options: TrainingOptions,
) -> tuple[keras.Model, dict[str, list[float]]]:
    """Train a network, with early stopping on the validation loss if there is one.

    The process keeps the memory that this needs at most: ``keep_freed_memory``.

    Args:
        training: Read ``to_train``; how often each is drawn: ``drawing_weights``.
        validation: Never augmented; classes weigh alike in its loss. None trains
            for all epochs.
        architecture: LivenessNet, or what has its ``build`` and ``each_view``.
        options: How.

    Returns:
        The network with its best or last weights, and the history of each epoch.
    """
    keep_freed_memory()
    keras.utils.set_random_seed(options.seed)
    side, views = options.input_size_px, len(options.view_scales)
    model = architecture.build(side, side, 3 * views, len(LABELS))
    learner = architecture.each_view(model)
    count = int(np.clip(len(training.samples), *EPOCH_SAMPLES))
    steps = max(1, count // options.batch_size)
    learner.compile(
        _optimizer(options, steps),
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=LABEL_SMOOTHING
        ),
        weighted_metrics=["accuracy"],
    )
    history = learner.fit(
        _training_batches(training, options),
        epochs=options.epochs,
        steps_per_epoch=steps,
        validation_data=validation and _validation_batches(validation),
        callbacks=_callbacks(options, stops_early=validation is not None),
        shuffle=False,  # the batches are drawn at random as it is
        verbose=0,
    )
    return model, history.history


def train_average(
    training: Pixels,
    validation: Pixels | None,
    architecture: type,
    options: TrainingOptions,
) -> tuple[keras.Model, list[dict[str, list[float]]]]:
    """``train`` several networks one after the other, and join them into one.

    Args:
        training: As in ``train``.
        validation: As in ``train``.
        architecture: LivenessNet, or what has its ``build``, ``each_view`` and
            ``average``.
        options: How, and how many networks; each has the next seed for its weights
            and for what is drawn, and all have the same samples.

    Returns:
        The network whose logits are the mean of theirs, and the history of each.
    """
    models, histories = [], []
    for number in range(options.networks):
        if options.networks > 1:
            logger.info("network %d of %d", number + 1, options.networks)
        own = replace(options, seed=(options.seed + number) % 2**32)
        model, history = train(training, validation, architecture, own)
        models.append(model)
        histories.append(history)
    return architecture.average(models), histories


def score(model: keras.Model, pixels: Pixels) -> np.ndarray:
    """(N,) float64 probability of bona fide for each row."""
    outputs = [
        model(pixels.read(slice(start, start + SCORING_BATCH)).astype(np.float32) / 255)
        for start in range(0, len(pixels.samples), SCORING_BATCH)
    ]
    real = LABELS.index(REAL)
    return np.concatenate([np.asarray(one, np.float64)[:, real] for one in outputs])


def _optimizer(options: TrainingOptions, steps: int) -> keras.optimizers.Optimizer:
    """AdamW whose rate rises for one epoch of so many steps, then falls."""
    schedule = keras.optimizers.schedules.CosineDecay(
        options.learning_rate / 10,
        decay_steps=max(1, steps * options.epochs - steps),
        warmup_target=options.learning_rate,
        warmup_steps=steps,
        alpha=0.01,
    )
    return keras.optimizers.AdamW(
        schedule,
        weight_decay=WEIGHT_DECAY,
        use_ema=True,
        ema_momentum=AVERAGING_MOMENTUM,
        ema_overwrite_frequency=None,
    )


def _callbacks(
    options: TrainingOptions, *, stops_early: bool
) -> list[keras.callbacks.Callback]:
    """What happens after each epoch."""
    callbacks: list[keras.callbacks.Callback] = [
        # First: what follows it in an epoch sees the averaged weights.
        keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
        _EpochLog(options.epochs),
    ]
    if stops_early:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                "val_loss",
                patience=options.patience,
                restore_best_weights=True,
                # Before that the rate is high and a best epoch is luck.
                start_from_epoch=options.epochs // 2,
            )
        )
    return callbacks


class _EpochLog(keras.callbacks.Callback):
    """One line for each epoch."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._epochs = epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Log the loss and accuracy of what there is."""
        logs = logs or {}
        text = "epoch {} of {}: loss {loss:.3f}, accuracy {accuracy:.3f}"
        if "val_loss" in logs:
            text += "; validation loss {val_loss:.3f}, accuracy {val_accuracy:.3f}"
        logger.info(text.format(epoch + 1, self._epochs, **logs))


def drawing_weights(samples: Sequence[Sample]) -> np.ndarray:
    """(N,) probability of each sample to be drawn for a batch.

    Both labels weigh the same, and of the fakes simulated attacks weigh
    ``SIMULATED_SHARE``. A site weighs as its size to the power of
    ``SITE_EXPONENT``, and the same among the real as among the fake: nothing can be
    told from the site alone, and a long film does not drown a short one.
    """
    is_fake = np.array([s.label == FAKE for s in samples])
    simulated = np.array([s.attack.startswith(SIMULATED) for s in samples])
    sites = [(s.collection, made) for s, made in zip(samples, simulated, strict=True)]
    site_sizes = Counter(sites)
    parts_of_sites = list(zip(sites, is_fake, strict=True))
    sizes = Counter(parts_of_sites)
    weights = np.array(
        [site_sizes[part[0]] ** SITE_EXPONENT / sizes[part] for part in parts_of_sites]
    )
    share = SIMULATED_SHARE if (is_fake & ~simulated).any() else 1.0
    share *= simulated.any()
    parts = (
        (~is_fake, 0.5),
        (is_fake & ~simulated, 0.5 * (1 - share)),
        (simulated, 0.5 * share),
    )
    for part, mass in parts:
        if part.any():
            weights[part] *= mass / weights[part].sum()
    return weights / weights.sum()


def _training_batches(pixels: Pixels, options: TrainingOptions) -> tf.data.Dataset:
    """Endless augmented batches in an order that the seed fixes.

    A batch is (N, side, side, 3 * views) float32 and (N, views, labels) float32. The
    views of one row are of different samples: each view learns by itself.
    """
    scales, side = options.view_scales, options.input_size_px
    targets = np.eye(len(LABELS), dtype=np.float32)[pixels.targets]
    weights = [_weights_of_view(pixels, scale) for scale in scales]
    count = options.batch_size
    one_of_each = np.resize(np.eye(len(LABELS)), (count, len(LABELS)))

    def draw() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(options.seed)
        while True:
            pictures = np.empty((count, side, side, 3 * len(scales)), np.uint8)
            truths = np.empty((count, len(scales), len(LABELS)), np.float32)
            for view, (scale, p) in enumerate(zip(scales, weights, strict=True)):
                shown = pictures[..., 3 * view : 3 * view + 3]
                absent = rng.permutation(count)
                if p.any():
                    absent = absent[: len(LABELS) if view else 0]
                    rows = np.sort(rng.choice(len(p), count, p=p))
                    truths[:, view] = targets[rows]
                    for place, picture in enumerate(pixels.read_view(rows, view)):
                        shown[place] = another_camera(
                            picture, rng, side_px=side, is_wide=scale > 1
                        )
                # What is missing says nothing: as often real as fake.
                shown[absent] = 0
                truths[absent, view] = one_of_each[: len(absent)]
            yield pictures, truths

    signature = (
        tf.TensorSpec((count, side, side, 3 * len(scales)), tf.uint8),
        tf.TensorSpec((count, len(scales), len(LABELS)), tf.float32),
    )
    return (
        tf.data.Dataset.from_generator(draw, output_signature=signature)
        .map(lambda pictures, truths: (tf.cast(pictures, tf.float32) / 255, truths))
        .apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
        .prefetch(4)
    )


def _weights_of_view(pixels: Pixels, scale: float) -> np.ndarray:
    """``drawing_weights`` among the samples that a view can learn from.

    A view of the surroundings learns mostly from samples that have them. Samples that
    show little but the face weigh ``BARE_SHARE``: there are far more cameras and
    people among them. They are left out where only one label has them, and all
    weights are 0 where only one label has surroundings: being there would tell the
    label, whatever it shows.
    """
    has = np.array([scale <= 1 or one.has_surroundings for one in pixels.samples])
    weights = np.zeros(len(has))

    def weigh(rows: np.ndarray, share: float) -> bool:
        drawn = [one for one, used in zip(pixels.samples, rows, strict=True) if used]
        if {one.label for one in drawn} != set(LABELS):
            return False
        weights[rows] = share * drawing_weights(drawn)
        return True

    if weigh(has, 1 - BARE_SHARE):
        weigh(~has, BARE_SHARE)
        weights /= weights.sum()
    return weights


def _validation_batches(pixels: Pixels) -> tf.data.Dataset:
    """The validation samples, each once; as truth, the label for every view.

    In each view the classes have the same total weight, where both have it. A view
    that is not there has none.
    """
    targets = pixels.targets
    side, views = pixels.store.shape[0], pixels.views
    weights = _validation_weights(pixels)
    one_hot = np.eye(len(LABELS), dtype=np.float32)[targets]
    one_hot = np.repeat(one_hot[:, None], views, axis=1)

    def read() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for start in range(0, len(targets), SCORING_BATCH):
            part = slice(start, start + SCORING_BATCH)
            pictures = pixels.read(part).astype(np.float32) / 255
            yield pictures, one_hot[part], weights[part]

    signature = (
        tf.TensorSpec((None, side, side, 3 * views), tf.float32),
        tf.TensorSpec((None, views, len(LABELS)), tf.float32),
        tf.TensorSpec((None, views), tf.float32),
    )
    batches = tf.data.Dataset.from_generator(read, output_signature=signature)
    count = -(-len(targets) // SCORING_BATCH)
    return batches.apply(tf.data.experimental.assert_cardinality(count)).prefetch(1)


def _validation_weights(pixels: Pixels) -> np.ndarray:
    """(N, views) float32: 0 where a view is black, else by the size of its class."""
    is_there = np.empty((len(pixels.samples), pixels.views), bool)
    for view in range(pixels.views):
        for start in range(0, len(is_there), SCORING_BATCH):
            part = slice(start, start + SCORING_BATCH)
            is_there[part, view] = pixels.read_view(part, view).any(axis=(1, 2, 3))
    weights = np.zeros(is_there.shape, np.float32)
    for label in range(len(LABELS)):
        rows = is_there & (pixels.targets == label)[:, None]
        sizes = rows.sum(axis=0)
        weights += rows * (len(rows) / (len(LABELS) * np.maximum(sizes, 1)))
    return weights


def _planned_attacks(
    samples: Sequence[Sample], seed: int
) -> list[tuple[Sample, Sample | None, str]]:
    """Simulated attacks of each bona fide sample: what, before what, how."""
    rng = np.random.default_rng(seed)
    rooms: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.is_bona_fide and sample.has_surroundings:
            rooms.setdefault(sample.collection, []).append(sample)
    plan = []
    for sample in [s for s in samples if s.is_bona_fide] * SIMULATED_EACH:
        # Of the same collection: nothing of a site gets into another one.
        near = rooms.get(sample.collection, []) if sample.crop_scale else []
        composed = near and rng.random() < COMPOSED_SHARE
        background = near[rng.integers(len(near))] if composed else None
        plan.append((sample, background, str(rng.choice(KINDS, p=KIND_SHARES))))
    return plan


def _sample_of(
    sample: Sample, background: Sample | None, kind: str | None, scale: float
) -> Sample:
    """What the crop of a job, of this scale, shows."""
    if kind is None:
        return sample
    return replace(
        sample,
        label=FAKE,
        attack=SIMULATED + kind,
        # Before a background it has surroundings, whatever it was made of.
        crop_scale=scale if background else sample.crop_scale,
        background=background.site if background else "",
    )


def _crop_of(
    sample: Sample,
    background: Sample | None,
    kind: str | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float]:
    """The crop of a job and its scale."""
    crop = read_crop(sample)
    scale = sample.crop_scale or CROP_SCALE
    if kind is None or not crop.any():
        return crop, scale
    # Without the black beyond the frame, which no camera films.
    shown, (left, top) = _filmed_part(crop)
    if background is None:
        attack = np.zeros_like(crop)
        height, width = shown.shape[:2]
        attack[top : top + height, left : left + width] = simulate(shown, kind, rng)
        return attack, scale
    face = square_around(whole_box(crop), 1 / scale)
    room, _ = _filmed_part(read_crop(background))
    face = (face[0] - left, face[1] - top, face[2] - left, face[3] - top)
    try:
        composed, box = compose_attack(shown, room, face, rng, kind=kind)
        return crop_face(composed, box), CROP_SCALE
    except ValueError as error:
        raise ImageError(
            f"'{sample.path}' or '{background.path}' is nearly all black: no attack "
            "can be simulated with it"
        ) from error


def _filmed_part(crop: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """A crop without the black around it, and where its left upper corner was."""
    x_min, y_min, x_max, y_max = filmed_box(crop)
    return crop[y_min:y_max, x_min:x_max], (x_min, y_min)
