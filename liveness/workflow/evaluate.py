"""Measure a model on datasets and clips, and calibrate it."""

import itertools
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from liveness.constants import DEFAULT_DETECTOR
from liveness.data.crops_table import CSV_NAME
from liveness.data.dataset import Sample, crop_at_scale, files_of, read_dataset
from liveness.data.extraction import Extraction, Input, extract_faces
from liveness.errors import DatasetError, ImageError
from liveness.evaluation.calibration import calibrate, card_to_calibrate
from liveness.evaluation.changes import CHANGES, Change
from liveness.evaluation.gallery import Gallery, ScoredCrop
from liveness.evaluation.html_report import write_report
from liveness.evaluation.report import Evaluation, ScoredFaces, evaluate
from liveness.faces.detector import ensure_detector_files
from liveness.io.files import VIDEO_SUFFIXES, list_files
from liveness.io.images import IMAGE_SUFFIXES, read_image
from liveness.model.classifier import LivenessClassifier

CLIP_EVERY_N_FRAMES = 5  # of a clip for --real or --fake
CLIP_ATTACK = "own clip"  # attack of a clip that is given by itself, not in a folder
BATCH = 64  # faces that are held and scored together

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FaceFiles:
    """Files of faces to measure on.

    Attributes:
        dataset: Dataset folders with ``real/`` and ``fake/[attack]/``.
        real: Videos and pictures of bona fide faces, or folders of them.
        fake: Videos and pictures of attacks, or folders of them, which name the attack.
        detector: Folder of the face detector, for videos and pictures.
        jobs: Videos and pictures examined at a time, on this machine.
        cluster: As in ``collect_faces``.
    """

    dataset: Sequence[Path] = ()
    real: Sequence[Path] = ()
    fake: Sequence[Path] = ()
    detector: Path = DEFAULT_DETECTOR
    jobs: int = 1
    cluster: str | None = None

    @cached_property
    def clips(self) -> dict[Path, str]:
        """The attack of each video and picture of ``real`` and ``fake``.

        Raises:
            DatasetError: If one is missing, is given as both, or holds face crops.
        """
        for given in (*self.real, *self.fake):
            if not given.exists():
                raise DatasetError(f"cannot read '{given}': no such file or directory")
        attacks = {clip: "" for given in self.real for clip in _clips_in(given)}
        for given in self.fake:
            for clip in _clips_in(given):
                name = CLIP_ATTACK
                if given.is_dir():
                    inside = clip.parent.relative_to(given).as_posix()
                    name = Path(os.path.abspath(given)).name
                    name = name if inside == "." else inside
                if attacks.setdefault(clip, name or CLIP_ATTACK) == "":
                    raise DatasetError(f"'{clip}' is given as real and as fake")
        return attacks

    def files(self) -> Iterator[Path]:
        """Return all that is read, which no result may replace."""
        return itertools.chain(self.clips, files_of(self.dataset))


@dataclass(frozen=True)
class Calibration:
    """How a threshold is chosen.

    Attributes:
        bpcer: Share of bona fide faces that may be refused; None for equal error.
    """

    bpcer: float | None = None


@dataclass(frozen=True)
class Measurement:
    """Scored faces and the report on them.

    Attributes:
        faces: All faces with their scores.
        evaluation: The report.
        gallery: The faces with the worst scores.
        classifier: The model.
    """

    faces: ScoredFaces
    evaluation: Evaluation
    gallery: Gallery
    classifier: LivenessClassifier

    def write_report(self, folder: Path) -> Path:
        """Write a folder that opens in a browser; returns the page.

        Args:
            folder: Of ``check_report_folder``.
        """
        return write_report(
            folder,
            self.faces,
            self.evaluation,
            self.gallery,
            classifier=self.classifier,
        )


def evaluate_model(
    files: FaceFiles,
    *,
    model: Path | None = None,
    label_encoder: Path | None = None,
    threshold: float | None = None,
    changes: bool = False,
    calibration: Calibration | None = None,
) -> Measurement:
    """Score faces and report the error rates of ISO/IEC 30107-3.

    Args:
        files: Where the faces are; both bona fide faces and attacks are needed.
        model: Keras file; None as in ``find_model``.
        label_encoder: Its label encoder; None as in ``find_model``.
        threshold: Score from which a face counts as real; None for the model's.
        changes: Whether to score the faces in other light, colours and focus, too.
        calibration: If given, the threshold is chosen on these faces and written into
            the model's card.

    Returns:
        The scores and the report.

    Raises:
        DatasetError: If there is no real or no fake face, or a file is not readable.
        ModelError: If the model cannot be loaded, or has no card to calibrate.
    """
    clips = files.clips
    samples = read_dataset(files.dataset) if files.dataset else []
    _require_both([*clips.values(), *(sample.attack for sample in samples)])
    if clips:
        ensure_detector_files(files.detector)
    classifier = LivenessClassifier.load(model, label_encoder, threshold=threshold)
    logger.info(classifier.description)
    if calibration:
        card = card_to_calibrate(classifier, model, label_encoder)
    scale = classifier.card.crop_scale
    crops = itertools.chain(
        _dataset_crops(samples, scale), _clip_crops(clips, files, scale)
    )
    gallery = Gallery()
    faces, changed = score_faces(
        crops, classifier, CHANGES if changes else {}, gallery=gallery
    )
    threshold = classifier.threshold
    if calibration:
        threshold = calibrate(
            faces,
            classifier,
            card,
            bpcer=calibration.bpcer,
            inputs=[*files.dataset, *files.real, *files.fake],
        )
    evaluation = evaluate(faces, threshold=threshold, changed=changed)
    return Measurement(faces, evaluation, gallery, classifier)


@dataclass(frozen=True)
class FaceToScore:
    """A crop, and where it comes from."""

    path: str
    attack: str
    source: str
    crop: np.ndarray
    scale: float
    site: str = ""
    place: str = ""  # in a clip


def score_faces(
    crops: Iterable[FaceToScore],
    classifier: LivenessClassifier,
    changes: Mapping[str, Change],
    *,
    gallery: Gallery | None = None,
) -> tuple[ScoredFaces, dict[str, np.ndarray]]:
    """Score crops.

    Args:
        crops: Of the scale of the classifier's model.
        classifier: The model.
        changes: By name, what is done to the crops besides.
        gallery: Is offered every face; None for nobody.

    Returns:
        The faces as they are, and the scores of them after each of the changes.

    Raises:
        DatasetError: If there is no real or no fake face.
    """
    rows: list[tuple[str, str, str, str]] = []
    scores: list[np.ndarray] = []
    changed: dict[str, list[np.ndarray]] = {name: [] for name in changes}
    crops = iter(crops)
    # Some at a time: all crops of a large dataset do not fit into memory.
    while batch := list(itertools.islice(crops, BATCH)):
        rows += [(face.path, face.attack, face.source, face.site) for face in batch]
        scores.append(classifier.score_crops([face.crop for face in batch]))
        if gallery:
            _offer(gallery, batch, scores[-1])
        for name, change in changes.items():
            pictures = [change(face.crop) for face in batch]
            changed[name].append(classifier.score_crops(pictures))
    _require_both(attack for _, attack, *_ in rows)
    paths, attacks, sources, sites = zip(*rows, strict=True)
    faces = ScoredFaces(paths, attacks, sources, _joined(scores), sites)
    return faces, {name: _joined(parts) for name, parts in changed.items()}


def _offer(gallery: Gallery, batch: Sequence[FaceToScore], scores: np.ndarray) -> None:
    """Offer faces of a batch to a gallery."""
    for face, score in zip(batch, scores, strict=True):
        gallery.offer(
            ScoredCrop(
                face.path, face.place, face.attack, float(score), face.crop, face.scale
            )
        )


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Return scores of batches as one (N,) float64 array in [0, 1]."""
    return np.concatenate(parts).astype(np.float64).clip(0, 1)


def _require_both(attacks: Iterable[str]) -> None:
    """Raise a DatasetError unless there are real faces, without attack, and fakes."""
    present = {attack == "" for attack in attacks}
    for kind, is_real in (("real", True), ("fake", False)):
        if is_real not in present:
            raise DatasetError(
                f"no {kind} face to measure on: both real and fake faces are needed"
            )


def _dataset_crops(samples: Iterable[Sample], scale: float) -> Iterator[FaceToScore]:
    """Yield the crop of each sample; a warning names those that cannot be read."""
    for sample in samples:
        try:
            crop = crop_at_scale(sample, scale)
        except ImageError as error:
            logger.warning("skipped: %s", error)
            continue
        # Folders of different datasets may have sites and sources of one name.
        source = f"{sample.path.parent}/{sample.site}/{sample.source}"
        yield FaceToScore(
            str(sample.path), sample.attack, source, crop, scale, sample.collection
        )


def _clip_crops(
    clips: Mapping[Path, str], files: FaceFiles, scale: float
) -> Iterator[FaceToScore]:
    """Yield the best face of every picture and of every n-th frame of every video."""
    how = Extraction(files.detector, every_n_frames=CLIP_EVERY_N_FRAMES, scale=scale)
    inputs = [Input.by_name(clip) for clip in clips]
    with tempfile.TemporaryDirectory() as spool:
        results = extract_faces(
            *(inputs, how), spool=Path(spool), jobs=files.jobs, cluster=files.cluster
        )
        for (clip, attack), result in zip(clips.items(), results, strict=True):
            if result.error:
                raise DatasetError(result.error)
            for face in result.crops:
                crop = read_image(face.png)
                face.png.unlink()
                is_film = result.read > 1
                place = f"frame {face.frame}, {face.time_s:.2f} s" if is_film else ""
                yield FaceToScore(
                    str(clip), attack, str(clip), crop, scale, place=place
                )
            if len(result.crops) < result.examined:
                logger.warning(
                    "%s: no face found in %d of %d frames; these are ignored",
                    *(clip, result.examined - len(result.crops), result.examined),
                )


def _clips_in(given: Path) -> list[Path]:
    """Return the video or picture, or those in a folder."""
    if (given / CSV_NAME).is_file():
        raise DatasetError(f"'{given}' holds face crops: give its dataset with -d")
    suffixes = (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)
    return list_files([given], suffixes, kind="videos or pictures", error=DatasetError)
