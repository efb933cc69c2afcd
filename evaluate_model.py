"""Measure a model on a dataset, or set its threshold for your own camera.

python evaluate_model.py -d dataset -m liveness.h5 -l label_encoder.pickle

With --calibrate the threshold is chosen on the given faces and written into the
model's card: python evaluate_model.py --real me.mp4 --fake replay.mp4 --calibrate
With --changes the faces are measured in other light, colours and focus, too.
"""

import argparse
import dataclasses
import itertools
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from liveness.cli.arguments import add_model_arguments, make_parser, probability
from liveness.cli.run import run
from liveness.constants import EXIT_OK, ROOT
from liveness.errors import DatasetError, ImageError
from liveness.processes import set_up_logging

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np

    from liveness.data.dataset import Sample
    from liveness.evaluation.changes import Change
    from liveness.evaluation.metrics import ErrorRates
    from liveness.evaluation.report import Evaluation, ScoredFaces
    from liveness.faces.detector import Detection, FaceDetector
    from liveness.model.classifier import LivenessClassifier

CLIP_EVERY_N_FRAMES = 5  # of a clip for --real or --fake
CLIP_ATTACK = "own clip"  # of a clip that is given by itself, not in a folder
BATCH = 64  # faces that are held and scored together
FEW_SOURCES = 3  # of a class: fewer hardly vary in light, place and person

logger = logging.getLogger("liveness.evaluate_model")


def build_parser() -> argparse.ArgumentParser:
    """Arguments of this script."""
    parser = make_parser(__doc__)
    data = parser.add_argument_group("faces")
    data.add_argument(
        "-d",
        "--dataset",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="dataset folder(s) with real/ and fake/[attack]/",
    )
    for label in ("real", "fake"):
        data.add_argument(
            f"--{label}",
            type=Path,
            nargs="+",
            default=[],
            metavar="CLIP",
            help=f"videos or pictures of {label} faces, or folders of them"
            + (" named after the kind of attack" if label == "fake" else "")
            + "; face crops go with -d",
        )
    data.add_argument(
        "--detector",
        type=Path,
        default=ROOT / "face_detector",
        metavar="DIR",
        help="folder of the SSD face detector, for --real and --fake",
    )
    add_model_arguments(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--scores", type=Path, metavar="CSV", help="write the score of each face"
    )
    output.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    output.add_argument(
        "-p", "--plot", type=Path, metavar="PNG", help="DET, ROC and score histograms"
    )
    output.add_argument(
        "--changes",
        action="store_true",
        help="also measure the faces in other light, colours and focus",
    )
    calibration = parser.add_argument_group("calibration")
    calibration.add_argument(
        "--calibrate",
        action="store_true",
        help="choose the threshold on these faces and write it into the model's card",
    )
    calibration.add_argument(
        "--bpcer",
        type=probability,
        metavar="P",
        help="share of bona fide faces that may be refused (default: equal error)",
    )
    return parser


def score_faces(
    samples: "list[Sample]",
    clips: list[tuple[str, Path]],
    detector: Path,
    classifier: "LivenessClassifier",
    changes: "dict[str, Change]",
) -> "tuple[ScoredFaces, dict[str, np.ndarray]]":
    """Score the crops of the datasets and the faces in the clips of ``_clips``.

    Args:
        samples: Of the datasets.
        clips: Attack and file of each.
        detector: Folder of the face detector.
        classifier: What scores.
        changes: By name, what is done to the faces besides.

    Returns:
        The faces as they are, and the scores of them after each of the changes.

    Raises:
        DatasetError: If there is no real or no fake face.
    """
    import numpy as np

    from liveness.evaluation.report import ScoredFaces

    crops = itertools.chain(
        _dataset_crops(samples, classifier.card.crop_scale),
        _clip_crops(clips, detector, classifier.card.crop_scale),
    )
    rows, scores = [], []
    changed: dict[str, list[np.ndarray]] = {name: [] for name in changes}
    # Some at a time: all crops of a large dataset do not fit into memory.
    while batch := list(itertools.islice(crops, BATCH)):
        rows += [row for *row, _ in batch]
        scores.append(classifier.score_crops([crop for *_, crop in batch]))
        for name, change in changes.items():
            seen = [change(crop) for *_, crop in batch]
            changed[name].append(classifier.score_crops(seen))
    _require_both(attack for _, attack, _ in rows)
    paths, attacks, sources = zip(*rows, strict=True)

    def together(parts: "list[np.ndarray]") -> "np.ndarray":
        return np.concatenate(parts).astype(np.float64).clip(0, 1)

    faces = ScoredFaces(paths, attacks, sources, together(scores))
    return faces, {name: together(parts) for name, parts in changed.items()}


def calibrate(
    arguments: argparse.Namespace,
    faces: "ScoredFaces",
    classifier: "LivenessClassifier",
) -> float:
    """Choose the threshold on these faces and write it into the model's card."""
    from liveness.evaluation.metrics import calibrated_threshold, error_rates
    from liveness.model.card import write_card

    path = _card_of(arguments, classifier)
    bpcer = arguments.bpcer
    rule = "equal error" if bpcer is None else f"BPCER of at most {bpcer:.1%}"
    before = error_rates(faces.scores, faces.attacks, threshold=classifier.threshold)
    if before.eer >= 0.5:
        raise DatasetError(
            f"no threshold suits these faces (EER {before.eer:.1%}): the real ones do "
            "not score above the fakes. Are they what you said they are?"
        )
    threshold = calibrated_threshold(faces.scores, faces.attacks, bpcer=bpcer)
    inputs = [*arguments.dataset, *arguments.real, *arguments.fake]
    attacks = sum(attack != "" for attack in faces.attacks)
    real = len(faces.paths) - attacks
    _warn_of_few(faces, real, attacks)
    rule += f" on {real} real and {attacks} fake faces of "
    rule += ", ".join(path.name or str(path) for path in inputs)
    after = error_rates(faces.scores, faces.attacks, threshold=threshold)
    card = dataclasses.replace(
        classifier.card,
        threshold=after.threshold,
        threshold_rule=rule,
        validation=after.as_json(),
    )
    write_card(card, path)
    logger.info("wrote the threshold %.3f (%s) into %s", threshold, rule, path)
    _say_what_to_expect(faces, before, bpcer)
    return after.threshold


def _say_what_to_expect(
    faces: "ScoredFaces", before: "ErrorRates", bpcer: float | None
) -> None:
    """How it was before, and what the report of a calibration is worth."""
    from liveness.evaluation.metrics import rates_calibrated

    logger.info(
        "at the threshold before, %.3f: APCER %.1f%%, BPCER %.1f%%",
        *(before.threshold, 100 * before.apcer, 100 * before.bpcer),
    )
    logger.warning("the report is on the faces that the threshold was chosen on")
    if own := rates_calibrated(faces.scores, faces.attacks, bpcer=bpcer):
        logger.warning(
            "each half of them at the threshold of the other half: APCER %.1f%%, "
            "BPCER %.1f%%, which is nearer to what to expect",
            *(100 * rate for rate in own),
        )


def _warn_of_few(faces: "ScoredFaces", real: int, fake: int) -> None:
    """Say so where a class has too few faces or films for a threshold."""
    from liveness.evaluation.metrics import FEW_FACES

    if min(real, fake) < FEW_FACES:
        logger.warning(
            "warning: few faces for a threshold, %d real and %d fake: film %d or more "
            "of each",
            *(real, fake, FEW_FACES),
        )
    owners = {
        (attack == "", source)
        for attack, source in zip(faces.attacks, faces.sources, strict=True)
    }
    films = [
        sum(is_real == wanted for is_real, _ in owners) for wanted in (True, False)
    ]
    if min(films) < FEW_SOURCES:
        logger.warning(
            "warning: few films or pictures, %d of real and %d of fake faces: %d or "
            "more of each, on several days, vary enough",
            *(*films, FEW_SOURCES),
        )


def main(argv: list[str] | None = None) -> int:
    """Score, report and, if asked to, calibrate."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    _check_usage(parser, arguments)
    set_up_logging(verbose=arguments.verbose)
    from liveness.data.dataset import read_dataset
    from liveness.evaluation.changes import CHANGES
    from liveness.evaluation.report import evaluate, write_scores
    from liveness.faces.detector import ensure_detector_files
    from liveness.model.classifier import LivenessClassifier

    clips = _clips(arguments)
    _check_outputs(arguments, clips)
    samples = read_dataset(arguments.dataset) if arguments.dataset else []
    _require_both([attack for attack, _ in clips] + [one.attack for one in samples])
    if clips:
        ensure_detector_files(arguments.detector)
    classifier = LivenessClassifier.load(
        arguments.model, arguments.le, threshold=arguments.threshold
    )
    logger.info(classifier.description)
    if arguments.calibrate:
        _card_of(arguments, classifier)
    changes = CHANGES if arguments.changes else {}
    faces, changed = score_faces(
        samples, clips, arguments.detector, classifier, changes
    )
    threshold = classifier.threshold
    if arguments.calibrate:
        threshold = calibrate(arguments, faces, classifier)
    evaluation = evaluate(faces, threshold=threshold, changed=changed)
    print(evaluation.as_text())
    if arguments.scores:
        write_scores(arguments.scores, faces)
    _write_figures(arguments, faces, evaluation)
    return EXIT_OK


def _require_both(attacks: "Iterable[str]") -> None:
    """Raise a DatasetError unless there are real faces, without attack, and fakes."""
    present = {attack == "" for attack in attacks}
    for kind, is_real in (("real", True), ("fake", False)):
        if is_real not in present:
            raise DatasetError(
                f"no {kind} face to measure on: both real and fake faces are needed"
            )


def _card_of(arguments: argparse.Namespace, classifier: "LivenessClassifier") -> Path:
    """The model's card, into which a threshold is written.

    Raises:
        ModelError: If it has none of its own.
    """
    from liveness.errors import ModelError
    from liveness.model.card import sha256_of
    from liveness.model.paths import find_model

    if classifier.card.model_sha256 is None:
        raise ModelError("this model has no card to write a threshold into")
    paths = find_model(arguments.model, arguments.le)
    if classifier.card.model_sha256 != sha256_of(paths.model.read_bytes()):
        raise ModelError(
            f"'{paths.card}' was written for another model file than '{paths.model}': "
            "it takes no threshold"
        )
    return paths.card


def _check_usage(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace
) -> None:
    """Ends with a usage error where options do not go together."""
    if not (arguments.dataset or arguments.real or arguments.fake):
        parser.error("nothing to measure on: give -d, or --real and --fake")
    if arguments.bpcer is not None and not arguments.calibrate:
        parser.error("--bpcer goes with --calibrate")
    if arguments.calibrate and arguments.threshold is not None:
        parser.error("--calibrate chooses the threshold: leave out --threshold")


def _check_outputs(
    arguments: argparse.Namespace, clips: list[tuple[str, Path]]
) -> None:
    """No result replaces a model, a clip or a file of the datasets."""
    from liveness.data.dataset import files_of
    from liveness.io.files import check_output_files
    from liveness.model.paths import find_model

    outputs = (arguments.scores, arguments.json, arguments.plot)
    model = find_model(arguments.model, arguments.le)
    inputs = itertools.chain(
        model.files, (clip for _, clip in clips), files_of(arguments.dataset)
    )
    check_output_files([path for path in outputs if path], inputs=inputs)
    if arguments.calibrate:
        check_output_files([model.card])


def _write_figures(
    arguments: argparse.Namespace, faces: "ScoredFaces", evaluation: "Evaluation"
) -> None:
    """The report as JSON and as a figure, where they are wanted."""
    from liveness.io.files import write_atomically

    if arguments.json:
        text = json.dumps(evaluation.as_json(), indent=2) + "\n"
        write_atomically(arguments.json, text.encode())
    if arguments.plot:
        from liveness.evaluation.plots import save_evaluation

        save_evaluation(
            arguments.plot,
            faces.scores,
            faces.attacks,
            threshold=evaluation.rates.threshold,
        )


def _dataset_crops(
    samples: "list[Sample]", scale: float
) -> "Iterator[tuple[str, str, str, np.ndarray]]":
    """Path, attack, source and crop of each sample; the unreadable are said."""
    from liveness.data.dataset import crop_at_scale

    for sample in samples:
        try:
            crop = crop_at_scale(sample, scale)
        except ImageError as error:
            logger.warning("skipped: %s", error)
            continue
        # Folders of different datasets may have sites and sources of one name.
        source = f"{sample.path.parent}/{sample.site}/{sample.source}"
        yield str(sample.path), sample.attack, source, crop


def _clip_crops(
    clips: list[tuple[str, Path]], detector_folder: Path, scale: float
) -> "Iterator[tuple[str, str, str, np.ndarray]]":
    """Path, attack, source and crop of the best face in frames of the clips."""
    from liveness.faces.crops import crop_face
    from liveness.faces.detector import FaceDetector

    detector = FaceDetector(detector_folder) if clips else None
    for attack, clip in clips:
        found = examined = 0
        for image, faces in _detections(clip, detector):
            examined += 1
            for face in faces[:1]:
                crop = crop_face(image, face.box, scale=scale)
                found += 1
                yield str(clip), attack, str(clip), crop
        if found < examined:
            logger.warning(
                "warning: %s: no face in %d of %d frames, which count nowhere",
                *(clip, examined - found, examined),
            )


def _clips(arguments: argparse.Namespace) -> list[tuple[str, Path]]:
    """Attack and file of every video and picture of --real and --fake."""
    from liveness.data.crops_table import CSV_NAME
    from liveness.io.files import VIDEO_SUFFIXES, list_files
    from liveness.io.images import IMAGE_SUFFIXES

    def clips_in(given: Path) -> list[Path]:
        if (given / CSV_NAME).is_file():
            raise DatasetError(f"'{given}' holds face crops: give its dataset with -d")
        suffixes = (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)
        kind = "videos or pictures"
        return list_files([given], suffixes, kind=kind, error=DatasetError)

    for given in (*arguments.real, *arguments.fake):
        if not given.exists():
            raise DatasetError(f"cannot read '{given}': no such file or directory")
    attacks = {clip: "" for given in arguments.real for clip in clips_in(given)}
    for given in arguments.fake:
        for clip in clips_in(given):
            name = CLIP_ATTACK
            if given.is_dir():
                inside = clip.parent.relative_to(given).as_posix()
                name = Path(os.path.abspath(given)).name if inside == "." else inside
            if attacks.setdefault(clip, name or CLIP_ATTACK) == "":
                raise DatasetError(f"'{clip}' is given as real and as fake")
    return [(attack, clip) for clip, attack in attacks.items()]


def _detections(
    clip: Path, detector: "FaceDetector"
) -> "Iterator[tuple[np.ndarray, list[Detection]]]":
    """The picture, or every n-th frame of the video, and the faces in it."""
    from liveness.io.files import VIDEO_SUFFIXES
    from liveness.io.images import read_image
    from liveness.sources.frames import VideoFile

    if clip.suffix.lower() not in VIDEO_SUFFIXES:
        image = read_image(clip)
        yield image, detector.detect_still(image)
        return
    with VideoFile(clip) as video:
        for frame in iter(video.read, None):
            if frame.index % CLIP_EVERY_N_FRAMES == 0:
                yield frame.image, detector.detect(frame.image)


if __name__ == "__main__":
    sys.exit(run(main))
