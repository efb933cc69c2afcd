"""Enrol people by pictures, so that the apps can tell who is in front of them.

python enroll_faces.py -i known_faces -e encodings.npz

known_faces/ holds one folder per person with a few pictures each, or pictures named
after the person. The file holds names and 128 numbers per picture, no pictures; it is
personal data all the same. Without -i, --remove and --report: lists who is enrolled.
"""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from liveness.cli.arguments import add_detector_arguments, make_parser, positive_float
from liveness.cli.run import run
from liveness.constants import DEFAULT_TOLERANCE, EXIT_FAILED, EXIT_OK
from liveness.errors import EncodingsError, IdentityError
from liveness.processes import set_up_logging

if TYPE_CHECKING:
    from liveness.people.enrolment import Enrolment
    from liveness.people.identity import KnownFaces

# What needs cv2 or numpy is imported where it is used: --help stays instant.

REPORTED_TOLERANCES = tuple(step / 100 for step in range(30, 85, 5))

logger = logging.getLogger("liveness.enroll_faces")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "-i",
        "--input",
        type=Path,
        metavar="DIR",
        help="folder with one folder per person, or pictures named after the person",
    )
    parser.add_argument(
        "-e",
        "--encodings",
        type=Path,
        default=Path("encodings.npz"),
        metavar="FILE",
        help="encodings file",
    )
    parser.add_argument(
        "--add", action="store_true", help="add to the file if it exists already"
    )
    parser.add_argument(
        "--remove",
        action="append",
        default=[],
        metavar="NAME",
        help="forget this person; may be repeated",
    )
    parser.add_argument(
        "--tolerance",
        type=positive_float,
        default=DEFAULT_TOLERANCE,
        metavar="D",
        help="largest distance of two pictures of one person",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="PNG",
        help="error rates against tolerance: curve into this file, table to stdout",
    )
    add_detector_arguments(parser)
    return parser


def update_file(
    encodings: Path,
    *,
    pictures: Path | None,
    add: bool,
    remove: Sequence[str],
    tolerance: float,
    finder: tuple[Path, float],
) -> "Enrolment":
    """Take people out of an encodings file, then enrol others.

    Args:
        encodings: The file; written if there is a change.
        pictures: Folder of the people to enrol; None for nobody.
        add: Whether the file may exist already when people are enrolled.
        remove: Names to forget.
        tolerance: Largest distance of two pictures of one person.
        finder: Folder of the face detector, and its least confidence.

    Raises:
        LivenessError: If nothing could be done; the file is then as it was.
    """
    from liveness.faces.detector import FaceDetector
    from liveness.people import enrolment as enrolling
    from liveness.people import identity

    exists = encodings.exists()
    if pictures and exists and not (add or remove):
        raise EncodingsError(
            f"'{encodings}' exists: --add adds to it; delete it to start anew"
        )
    starts_empty = pictures and not exists and not remove
    before = identity.NOBODY if starts_empty else identity.load_known(encodings)
    known = _without(before, remove, encodings)
    result = enrolling.Enrolment(known)
    if pictures:
        people = enrolling.find_people(pictures)
        detector = FaceDetector(finder[0], confidence=finder[1])
        result = enrolling.enroll(people, detector, tolerance=tolerance, known=known)
    if result.enrolled or remove:
        identity.save_known(encodings, result.known)
    return result


def print_people(known: "KnownFaces") -> None:
    """One line for each person on stdout."""
    for name, count in sorted(Counter(known.names).items()):
        print(f"{name}: {count} picture{'s' if count > 1 else ''}")
    if not known.names:
        print("nobody is enrolled")


def report(known: "KnownFaces", png: Path, *, tolerance: float) -> None:
    """Error rates of the enrolled pictures: table on stdout, curve as PNG.

    Args:
        known: Who is enrolled.
        png: File of the curve.
        tolerance: The one in use, which the curve marks.

    Raises:
        IdentityError: If there are too few pictures for any rate.
    """
    from liveness.evaluation.plots import save_match_rates
    from liveness.people.identity import match_rates, pair_distances

    false_match, false_non_match = match_rates(known, REPORTED_TOLERANCES)
    same, different = pair_distances(known)
    print(f"pairs of pictures: {same.size} of one person, {different.size} of two")
    print("tolerance     FMR    FNMR")
    rows = zip(REPORTED_TOLERANCES, false_match, false_non_match, strict=True)
    for at, fmr, fnmr in rows:
        print(f"     {at:.2f} {fmr:7.1%} {fnmr:7.1%}")
    save_match_rates(png, same, different, tolerance=tolerance)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; 1 also if some pictures could not be enrolled."""
    arguments = build_parser().parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    _check_outputs(arguments)
    result = update_file(
        arguments.encodings,
        pictures=arguments.input,
        add=arguments.add,
        remove=arguments.remove,
        tolerance=arguments.tolerance,
        finder=(arguments.detector, arguments.confidence),
    )
    for problem in result.problems:
        logger.warning(problem)
    if arguments.input:
        logger.info(
            "%d pictures enrolled, %d known already, %d problems",
            result.enrolled,
            result.repeated,
            len(result.problems),
        )
    _warn_of_lookalikes(result.known, arguments.tolerance)
    print_people(result.known)
    if arguments.report:
        report(result.known, arguments.report, tolerance=arguments.tolerance)
    return EXIT_FAILED if result.problems else EXIT_OK


def _check_outputs(arguments: argparse.Namespace) -> None:
    """What is written can be written, and the figure replaces nothing that is read."""
    from liveness.io.files import check_output_files, walk

    changes = arguments.input or arguments.remove
    outputs = [arguments.encodings] if changes else []
    if arguments.report:
        pictures = arguments.input
        inputs = [arguments.encodings, *([pictures] if pictures else [])]
        if pictures and pictures.is_dir():
            inputs += [path for path, _ in walk(pictures)]
        check_output_files([arguments.report], inputs=inputs)
        outputs.append(arguments.report)
    check_output_files(outputs)


def _without(known: "KnownFaces", names: Sequence[str], path: Path) -> "KnownFaces":
    """Everybody but these people, who must be there."""
    from liveness.people.identity import checked_name

    for name in map(checked_name, names):
        if name not in known.people:
            people = ", ".join(known.people) or "nobody"
            raise IdentityError(f"'{name}' is not in '{path}'; enrolled: {people}")
        known = known.without(name)
    return known


def _warn_of_lookalikes(known: "KnownFaces", tolerance: float) -> None:
    from liveness.people.identity import find_lookalikes

    for one, other, distance in find_lookalikes(known, tolerance):
        logger.warning(
            "%s and %s look alike: distance %.2f, tolerance %s; either may be taken "
            "for the other: use a lower --tolerance",
            one,
            other,
            distance,
            tolerance,
        )


if __name__ == "__main__":
    sys.exit(run(main))
