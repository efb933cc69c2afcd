"""Tell real faces from pictures of faces in still pictures.

    python liveness_app_from_picture.py -i images/reals/1.jpg -c 0.5

Prints one line per face, the most confidently detected first. The exit code of
--verify NAME is 0 if the nearest face is live and is NAME, 3 if it is fake, 4 if it
is somebody else, upside down, not alone so near, or if there is no face, and 1 after
an error.
"""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from liveness.cli.arguments import (
    add_detector_arguments,
    add_identity_arguments,
    add_model_arguments,
    check_identity_arguments,
    make_parser,
)
from liveness.cli.run import run
from liveness.constants import EXIT_FAILED, EXIT_FAKE, EXIT_OK, EXIT_OTHER_PERSON
from liveness.errors import ImageError, OutputError
from liveness.processes import set_up_logging

if TYPE_CHECKING:
    import numpy as np

    from liveness.model.verdicts import FaceVerdict

logger = logging.getLogger("liveness.picture")


def build_parser() -> argparse.ArgumentParser:
    """The command line of this script."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "-i",
        "--input",
        type=Path,
        nargs="+",
        required=True,
        metavar="PICTURE",
        help="pictures, or folders of pictures",
    )
    add_detector_arguments(parser)
    add_model_arguments(parser)
    add_identity_arguments(parser)
    parser.add_argument(
        "--verify",
        metavar="NAME",
        help="answer by the exit code whether the nearest face of one picture is live "
        "and this known person",
    )
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="write the annotated picture: a file for one picture (a name with a "
        "picture's ending), else a folder",
    )
    group.add_argument(
        "--json", action="store_true", help="print one JSON object per picture and line"
    )
    return parser


def judge_picture(
    path: Path,
    judge: "Callable[[np.ndarray], list[FaceVerdict]]",
    output: Path | None,
    *,
    threshold: float,
) -> list["FaceVerdict"]:
    """Verdicts on the faces of a picture file, best face first.

    Args:
        path: Picture to read.
        judge: Gives the verdicts on a picture.
        output: Where the annotated picture goes, None for nowhere.
        threshold: Score from which a face counts as real, 0 to 1.

    Raises:
        ImageError: If the picture cannot be read.
        OSError: If the annotated picture cannot be written.
    """
    from liveness.io.images import read_image, write_image

    image = read_image(path)
    faces = judge(image)
    if output is not None:
        from liveness.live.overlay import draw_faces

        write_image(output, draw_faces(image, faces, threshold=threshold))
    return faces


def output_paths(inputs: Sequence[Path], output: Path | None) -> list[Path | None]:
    """Where the annotated picture of each input goes; creates a folder for them.

    Raises:
        OutputError: If several pictures should go into one file, or as
            ``check_output_files``: no annotated picture replaces an input; or the
            folder cannot be created.
    """
    from liveness.io.files import check_output_files, make_output_folder
    from liveness.io.images import IMAGE_SUFFIXES, WRITABLE_SUFFIXES, check_writable

    if output is None:
        return [None] * len(inputs)
    if output.suffix.lower() in IMAGE_SUFFIXES and not output.is_dir():
        if len(inputs) > 1:
            raise OutputError(
                f"cannot write {len(inputs)} pictures into the one file '{output}': "
                "give a folder"
            )
        check_writable(output)
        paths = [output]
    else:
        make_output_folder(output)
        paths = list(_names_in(output, inputs, WRITABLE_SUFFIXES))
    check_output_files(paths, inputs=inputs)
    return paths


def main(argv: list[str] | None = None) -> int:
    """Run the script; returns its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    check_identity_arguments(parser, arguments)
    set_up_logging(verbose=arguments.verbose)
    from liveness.io.files import check_any_exists
    from liveness.io.images import list_images  # OpenCV, which --help can do without

    check_any_exists(arguments.input, kind="image", error=ImageError)
    inputs = list_images(arguments.input)
    if arguments.verify is not None and len(inputs) != 1:
        parser.error(f"--verify takes one picture, received {len(inputs)}")
    outputs = output_paths(inputs, arguments.output)
    judge, threshold = _load_judge(arguments)
    faces_found = judged = failures = 0
    for path, output in zip(inputs, outputs, strict=True):
        try:
            faces = judge_picture(path, judge, output, threshold=threshold)
        except ImageError as error:
            if len(inputs) == 1:
                raise
            logger.warning("warning: %s", error)
            failures += 1
            continue
        faces_found += len(faces)
        judged += any(face.score is not None for face in faces)
        report = _json_lines if arguments.json else _text_lines
        lines = report(path, faces, threshold, verify=arguments.verify)
        print(*lines, sep="\n", flush=True)
    if failures:
        logger.warning("%d of %d pictures could not be read", failures, len(inputs))
    if not faces_found:
        logger.warning("no face found; a lower --confidence finds more")
    elif not judged:
        logger.warning("no face judged: upside down or on its side? Turn the picture")
    if arguments.verify is not None:
        return _verify(inputs[0], faces, arguments.verify)
    return EXIT_OK if judged and not failures else EXIT_FAILED


def _load_judge(
    arguments: argparse.Namespace,
) -> tuple["Callable[[np.ndarray], list[FaceVerdict]]", float]:
    """What turns a picture into verdicts, and the threshold behind them."""
    from liveness.faces.detector import FaceDetector
    from liveness.model.classifier import LivenessClassifier
    from liveness.model.verdicts import classify_faces
    from liveness.people.checks import load_identifier, name_faces

    identifier = load_identifier(
        arguments.known, arguments.tolerance, must_know=arguments.verify
    )
    classifier = LivenessClassifier.load(
        arguments.model, arguments.le, threshold=arguments.threshold
    )
    logger.info("%s", classifier.description)
    detector = FaceDetector(arguments.detector, confidence=arguments.confidence)

    def judge(image: "np.ndarray") -> list["FaceVerdict"]:
        found = detector.detect_still(image)
        upside_down = detector.are_upside_down(image, found)
        faces = classify_faces(image, found, classifier, upside_down)
        if identifier is None:
            return faces
        return name_faces(image, faces, identifier, fakes=arguments.name_fakes)

    return judge, classifier.threshold


def _verify(path: Path, faces: Sequence["FaceVerdict"], name: str) -> int:
    """The exit code of --verify; says which faces did not count."""
    from liveness.faces.detector import near_faces, tell_passed_over

    tell_passed_over(path, len(faces) - len(near_faces(faces)))
    codes = {None: EXIT_OK, "liveness": EXIT_FAKE}
    return codes.get(_failed_check(faces, name), EXIT_OTHER_PERSON)


def _failed_check(faces: Sequence["FaceVerdict"], name: str) -> str | None:
    """Which check keeps the nearest face from being that person, live; None if none.

    Whoever stands far behind does not count, and whoever stands beside does.
    """
    from liveness.faces.detector import near_faces
    from liveness.people.identity import checked_name

    near = near_faces(faces)
    if any(face.label == "fake" for face in near):
        return "liveness"
    if any(face.reason for face in near):
        return next(face.reason for face in near if face.reason)
    if len(near) > 1:
        return "several faces"
    is_known = near and near[0].match.name == checked_name(name)
    return None if is_known else "identity"


def _names_in(
    folder: Path, inputs: Sequence[Path], suffixes: Sequence[str]
) -> Iterator[Path]:
    """A name of its own for each input: 1.jpg of two folders is 1.jpg and 1_2.jpg."""
    used: set[str] = set()
    for path in inputs:
        suffix = path.suffix if path.suffix.lower() in suffixes else ".png"
        name, number = path.stem + suffix, 1
        while name.lower() in used:
            number += 1
            name = f"{path.stem}_{number}{suffix}"
        used.add(name.lower())
        yield folder / name


def _text_lines(
    path: Path,
    faces: Sequence["FaceVerdict"],
    threshold: float,
    *,
    verify: str | None,
) -> list[str]:
    """One line per face, or one that says that there is none; one on ``verify``."""
    lines = [
        f"{path}: {face.label}  {_score_or_reason(face, threshold)}  "
        f"detector confidence {face.confidence:.2f}  "
        f"box {','.join(str(side) for side in face.box)}"
        + (f"  {face.who}" if face.who else "")
        for face in faces
    ] or [f"{path}: no face"]
    if verify is not None:
        failed = _failed_check(faces, verify)
        result = f"failed: {failed}" if failed else "passed"
        lines.append(f"{path}: verification as {verify} {result}")
    return lines


def _score_or_reason(face: "FaceVerdict", threshold: float) -> str:
    """What the label rests on."""
    if face.score is None:
        return face.reason
    return f"score {face.score:.3f} (real from {threshold:.3f})"


def _json_lines(
    path: Path,
    faces: Sequence["FaceVerdict"],
    threshold: float,
    *,
    verify: str | None,
) -> list[str]:
    """The picture as one JSON object."""
    fields = {
        "input": str(path),
        "threshold": threshold,
        "faces": [face.as_json() for face in faces],
    }
    if verify is not None:
        failed = _failed_check(faces, verify)
        fields["verify"] = {"name": verify, "passed": not failed, "failed": failed}
    return [json.dumps(fields)]


if __name__ == "__main__":
    sys.exit(run(main))
