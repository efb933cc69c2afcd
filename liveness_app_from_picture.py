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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from liveness.cli.arguments import (
    add_detector_arguments,
    add_identity_arguments,
    add_model_arguments,
    check_identity_arguments,
    judging_of,
    make_parser,
)
from liveness.cli.run import run
from liveness.constants import EXIT_FAILED, EXIT_FAKE, EXIT_OK, EXIT_OTHER_PERSON
from liveness.errors import ImageError, OutputError
from liveness.processes import set_up_logging

if TYPE_CHECKING:
    import numpy as np

    from liveness.model.explanation import Explanation
    from liveness.model.verdicts import FaceVerdict
    from liveness.workflow.judge import PictureJudge

logger = logging.getLogger("liveness.picture")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script."""
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
        help="check that the nearest face of one picture is live and is this known "
        "person; the exit code answers",
    )
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="write annotated pictures: a file name for one picture, or a folder",
    )
    group.add_argument(
        "--explain",
        action="store_true",
        help="also say where each verdict comes from (takes under a second per face); "
        "with --output, draw a heat map beside the picture",
    )
    group.add_argument(
        "--json", action="store_true", help="print one JSON object per picture"
    )
    return parser


def output_paths(inputs: Sequence[Path], output: Path | None) -> list[Path | None]:
    """Return where the annotated picture of each input goes; creates a folder for them.

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
    from liveness.workflow.judge import load_judge

    judge = load_judge(judging_of(arguments), must_know=arguments.verify)
    logger.info("%s", judge.classifier.description)
    lines_of = _json_lines if arguments.json else _text_lines
    pictures: list[Picture] = []
    for path, output in zip(inputs, outputs, strict=True):
        try:
            picture = judge_file(
                path,
                judge,
                output,
                verify=arguments.verify,
                explain=arguments.explain,
            )
        except ImageError as error:
            if len(inputs) == 1:
                raise
            logger.warning("%s", error)
            continue
        pictures.append(picture)
        lines = lines_of(picture, judge.classifier.threshold, verify=arguments.verify)
        print(*lines, sep="\n", flush=True)
    all_judged = _say_what_is_missing(pictures, len(inputs))
    if arguments.verify is not None:
        return _exit_code_of(pictures[0])
    return EXIT_OK if all_judged else EXIT_FAILED


@dataclass(frozen=True)
class Picture:
    """A picture file and what was found in it."""

    path: Path
    faces: Sequence["FaceVerdict"]
    failed_check: str | None  # of --verify
    explanations: Sequence["Explanation | None"] = ()  # of --explain, one per face


def judge_file(
    path: Path,
    judge: "PictureJudge",
    output: Path | None = None,
    *,
    verify: str | None = None,
    explain: bool = False,
) -> Picture:
    """Judge a picture file.

    Args:
        path: Picture to read.
        judge: Gives the verdicts.
        output: Where the annotated picture goes, None for nowhere.
        verify: Name of the person to verify, None for nobody.
        explain: Whether to say where each verdict comes from.

    Raises:
        ImageError: If the picture cannot be read.
        OSError: If the annotated picture cannot be written.
    """
    from liveness.io.images import read_image, write_image
    from liveness.workflow.judge import failed_check

    image = read_image(path)
    faces = judge.judge(image)
    explanations = [judge.explain(image, face) for face in faces] if explain else []
    if output is not None:
        write_image(output, _annotated(image, faces, explanations, judge))
    failed = failed_check(faces, verify) if verify else None
    return Picture(path, faces, failed, explanations)


def _annotated(
    image: "np.ndarray",
    faces: Sequence["FaceVerdict"],
    explanations: Sequence["Explanation | None"],
    judge: "PictureJudge",
) -> "np.ndarray":
    """Return the picture with its verdicts, and beside it where they come from."""
    from liveness.live.overlay import beside, draw_faces
    from liveness.model.explanation import draw_heat

    maps = [
        draw_heat(judge.crop(image, face), explanation)
        for face, explanation in zip(faces, explanations, strict=bool(explanations))
        if explanation
    ]
    drawn = draw_faces(image.copy(), faces, threshold=judge.classifier.threshold)
    return beside(drawn, maps) if maps else drawn


def _say_what_is_missing(pictures: Sequence[Picture], count: int) -> bool:
    """Log what was not read or not judged; whether all were read and some judged."""
    faces = [face for picture in pictures for face in picture.faces]
    is_judged = any(face.score is not None for face in faces)
    if failures := count - len(pictures):
        logger.warning("%d of %d pictures could not be read", failures, count)
    if not faces:
        logger.warning("no face found; a lower --confidence finds more")
    elif not is_judged:
        logger.warning("no face judged: upside down or on its side? Turn the picture")
    return is_judged and not failures


def _exit_code_of(picture: Picture) -> int:
    """Return the exit code of --verify; says which faces did not count."""
    from liveness.faces.detector import near_faces, tell_passed_over

    ignored = len(picture.faces) - len(near_faces(picture.faces))
    tell_passed_over(picture.path, ignored)
    codes = {None: EXIT_OK, "liveness": EXIT_FAKE}
    return codes.get(picture.failed_check, EXIT_OTHER_PERSON)


def _names_in(
    folder: Path, inputs: Sequence[Path], suffixes: Sequence[str]
) -> Iterator[Path]:
    """Yield a unique name per input: two files 1.jpg become 1.jpg and 1_2.jpg."""
    used: set[str] = set()
    for path in inputs:
        suffix = path.suffix if path.suffix.lower() in suffixes else ".png"
        name, number = path.stem + suffix, 1
        while name.lower() in used:
            number += 1
            name = f"{path.stem}_{number}{suffix}"
        used.add(name.lower())
        yield folder / name


def _text_lines(picture: Picture, threshold: float, *, verify: str | None) -> list[str]:
    """Return one line per face, or one that says there is none, and the result."""
    reasons = [
        f"  {explanation.sentence}" if explanation else ""
        for explanation in picture.explanations
    ] or [""] * len(picture.faces)
    lines = [
        f"{picture.path}: {face.label}  {_score_or_reason(face, threshold)}  "
        f"detector confidence {face.confidence:.2f}  "
        f"box {','.join(str(side) for side in face.box)}"
        + (f"  {face.who}" if face.who else "")
        + reason
        for face, reason in zip(picture.faces, reasons, strict=True)
    ] or [f"{picture.path}: no face"]
    if verify is not None:
        failed = picture.failed_check
        result = f"failed: {failed}" if failed else "passed"
        lines.append(f"{picture.path}: verification as {verify} {result}")
    return lines


def _score_or_reason(face: "FaceVerdict", threshold: float) -> str:
    """Return what the label rests on."""
    if face.score is None:
        return face.reason
    return f"score {face.score:.3f} (real from {threshold:.3f})"


def _json_lines(picture: Picture, threshold: float, *, verify: str | None) -> list[str]:
    """Return the picture as one JSON object."""
    fields = {
        "input": str(picture.path),
        "threshold": round(threshold, 4),
        "faces": [face.as_json() for face in picture.faces],
    }
    for face, explanation in zip(
        fields["faces"] if picture.explanations else (),
        picture.explanations,
        strict=True,
    ):
        face["explanation"] = explanation.as_json() if explanation else None
    if verify is not None:
        failed = picture.failed_check
        fields["verify"] = {"name": verify, "passed": not failed, "failed": failed}
    return [json.dumps(fields)]


if __name__ == "__main__":
    sys.exit(run(main))
