"""Training of a network on samples; importing this module imports Keras."""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np

from liveness.data.dataset import Sample
from liveness.model.labels import FAKE, LABELS, REAL
from liveness.processes import keep_freed_memory
from liveness.training.augmentation import another_camera
from liveness.training.checkpoint import Checkpoint
from liveness.training.pixels import Pixels
from liveness.training.pretrained import start_from_imagenet
from liveness.training.recipe import TrainingOptions

EPOCH_SAMPLES = (640, 16000)  # least and most pictures drawn for one epoch
SCORING_BATCH = 256
LABEL_SMOOTHING = 0.05
WEIGHT_DECAY = 1e-2
AVERAGING_MOMENTUM = 0.99  # of the averaged weights: about the last 100 batches
SITE_EXPONENT = 0.25  # of a site's size: 0 weighs sites alike, 1 pictures alike
SIMULATED_SHARE = 0.3  # of the drawn fakes, where filmed ones are there too
BARE_SHARE = 0.25  # of what a wide view learns from that shows the face alone
READERS = 2  # threads that draw and change batches beside the training

logger = logging.getLogger(__name__)


def train(
    training: Pixels,
    validation: Pixels | None,
    architecture: type,
    options: TrainingOptions,
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> tuple[keras.Model, dict[str, list[float]]]:
    """Train a network, with early stopping on the validation loss if there is one.

    The process keeps the memory that this needs at most: ``keep_freed_memory``.

    Args:
        training: Read ``to_train``; how often each is drawn: ``drawing_weights``.
        validation: Never augmented; classes weigh alike in its loss. None trains
            for all epochs.
        architecture: LivenessNet, or what has its ``build`` and ``each_view``.
        options: How.
        checkpoint: File that is written after each epoch, to go on from.
        resume: Go on from it, if it is there.

    Returns:
        The network with its best or last weights, and the history of each epoch.

    Raises:
        ModelError: If the trunk's pretrained weights cannot be had, or the checkpoint
            is damaged or of another training.
    """
    keep_freed_memory()
    keras.utils.set_random_seed(options.seed)
    side, views = options.input_size_px, len(options.view_scales)
    model = architecture.build(side, side, 3 * views, len(LABELS), trunk=options.trunk)
    start_from_imagenet(model, options.trunk)
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
    callbacks = _callbacks(options, stops_early=validation is not None)
    keeper = Checkpoint(checkpoint, _recipe_of(training, validation, options))
    keeper.attach(learner, callbacks)
    if resume:
        keeper.restore()
        if keeper.is_done:
            return model, keeper.history
    learner.fit(
        _TrainingBatches(training, options, steps, first_epoch=keeper.epochs),
        initial_epoch=keeper.epochs,
        epochs=options.epochs,
        validation_data=validation and _ValidationBatches(validation),
        callbacks=[*callbacks, keeper],
        shuffle=False,  # the batches are drawn at random as it is
        verbose=0,
    )
    return model, keeper.history


def train_average(
    training: Pixels,
    validation: Pixels | None,
    architecture: type,
    options: TrainingOptions,
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> tuple[keras.Model, list[dict[str, list[float]]]]:
    """``train`` several networks one after the other, and join them into one.

    Args:
        training: As in ``train``.
        validation: As in ``train``.
        architecture: LivenessNet, or what has its ``build``, ``each_view`` and
            ``average``.
        options: How, and how many networks; each has the next seed for its weights
            and for what is drawn, and all have the same samples.
        checkpoint: As in ``train``; each network has one of its own: ``checkpoint_of``.
        resume: As in ``train``.

    Returns:
        The network whose logits are the mean of theirs, and the history of each.
    """
    models, histories = [], []
    for number in range(options.networks):
        if options.networks > 1:
            logger.info("network %d of %d", number + 1, options.networks)
        own = replace(options, seed=(options.seed + number) % 2**32)
        file = checkpoint and checkpoint_of(checkpoint, number + 1)
        model, history = train(
            training, validation, architecture, own, checkpoint=file, resume=resume
        )
        models.append(model)
        histories.append(history)
    return architecture.average(models), histories


def checkpoint_of(checkpoint: Path, number: int) -> Path:
    """File of a network's checkpoint: ``a-2.npz`` is of the second for ``a.npz``."""
    return checkpoint.with_stem(f"{checkpoint.stem}-{number}")


def remove_checkpoints(checkpoint: Path, networks: int) -> None:
    """Delete the checkpoints of a training of this many networks, if they exist."""
    for number in range(networks):
        checkpoint_of(checkpoint, number + 1).unlink(missing_ok=True)


def _recipe_of(
    training: Pixels, validation: Pixels | None, options: TrainingOptions
) -> dict[str, object]:
    """Return what must be equal for a training to be resumed."""
    names = hashlib.sha256()
    for pixels in (training, validation):
        for sample in pixels.samples if pixels else ():
            line = f"{sample.path.name} {sample.label} {sample.attack}\n"
            names.update(line.encode(errors="surrogatepass"))  # not all are UTF-8
    return asdict(options) | {"faces": names.hexdigest()}


def score(model: keras.Model, pixels: Pixels) -> np.ndarray:
    """Return (N,) float64 probability of bona fide for each row."""
    outputs = [
        model(pixels.read(slice(start, start + SCORING_BATCH)).astype(np.float32) / 255)
        for start in range(0, len(pixels.samples), SCORING_BATCH)
    ]
    real = LABELS.index(REAL)
    return np.concatenate([np.asarray(one, np.float64)[:, real] for one in outputs])


def _optimizer(options: TrainingOptions, steps: int) -> keras.optimizers.Optimizer:
    """Return AdamW with a rate that rises for one epoch and then falls."""
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
    """Return the callbacks of a training."""
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
    """Return (N,) probability of each sample to be drawn for a batch.

    Both labels weigh the same, and of the fakes simulated attacks weigh
    ``SIMULATED_SHARE``. A site weighs as its size to the power of
    ``SITE_EXPONENT``, and the same among the real as among the fake: nothing can be
    told from the site alone, and a long film does not drown a short one.
    """
    is_fake = np.array([s.label == FAKE for s in samples])
    simulated = np.array([s.is_simulated for s in samples])
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


class _TrainingBatches(keras.utils.PyDataset):
    """Augmented batches, each determined by seed, epoch and batch number.

    A batch is (N, side, side, 3 * views) float32 in [0, 1] and (N, views, labels)
    float32. The views of one row are of different samples: each view learns by itself.
    """

    def __init__(
        self, pixels: Pixels, options: TrainingOptions, steps: int, *, first_epoch: int
    ) -> None:
        super().__init__(workers=READERS)
        self._pixels, self._options, self._steps = pixels, options, steps
        self._epoch = first_epoch
        self._targets = np.eye(len(LABELS), dtype=np.float32)[pixels.targets]
        self._weights = [
            _weights_of_view(pixels, scale) for scale in options.view_scales
        ]

    def __len__(self) -> int:
        return self._steps

    def on_epoch_end(self) -> None:
        """Draw other samples in the next epoch."""
        self._epoch += 1

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        scales, side = self._options.view_scales, self._options.input_size_px
        count = self._options.batch_size
        one_of_each = np.resize(np.eye(len(LABELS)), (count, len(LABELS)))
        rng = np.random.default_rng((self._options.seed, self._epoch, number))
        pictures = np.empty((count, side, side, 3 * len(scales)), np.uint8)
        truths = np.empty((count, len(scales), len(LABELS)), np.float32)
        for view, (scale, p) in enumerate(zip(scales, self._weights, strict=True)):
            shown = pictures[..., 3 * view : 3 * view + 3]
            absent = rng.permutation(count)
            if p.any():
                absent = absent[: len(LABELS) if view else 0]
                rows = np.sort(rng.choice(len(p), count, p=p))
                truths[:, view] = self._targets[rows]
                for place, picture in enumerate(self._pixels.read_view(rows, view)):
                    shown[place] = another_camera(
                        picture, rng, side_px=side, is_wide=scale > 1
                    )
            # What is missing says nothing: as often real as fake.
            shown[absent] = 0
            truths[absent, view] = one_of_each[: len(absent)]
        return pictures.astype(np.float32) / 255, truths


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


class _ValidationBatches(keras.utils.PyDataset):
    """The validation samples, each once; as truth, the label for every view.

    In each view the classes have the same total weight, where both have it. A view
    that is not there has none.
    """

    def __init__(self, pixels: Pixels) -> None:
        super().__init__()
        self._pixels = pixels
        self._weights = _validation_weights(pixels)
        one_hot = np.eye(len(LABELS), dtype=np.float32)[pixels.targets]
        self._truths = np.repeat(one_hot[:, None], pixels.views, axis=1)

    def __len__(self) -> int:
        return -(-len(self._truths) // SCORING_BATCH)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        part = slice(number * SCORING_BATCH, (number + 1) * SCORING_BATCH)
        pictures = self._pixels.read(part).astype(np.float32) / 255
        return pictures, self._truths[part], self._weights[part]


def _validation_weights(pixels: Pixels) -> np.ndarray:
    """Return (N, views) float32: 0 for a black view, else by the size of its class."""
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
