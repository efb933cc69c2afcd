"""Serve a page that lets in only a live, known person.

python liveness_app_web.py

Needs: pip install -r requirements-web.txt. People sign up with a password and their
face, and log in with both. For a phone in the same network, give --host 0.0.0.0 with
--cert and --key: browsers open their camera only for https.
"""

import argparse
import logging
import sys
from importlib.util import find_spec
from pathlib import Path

from liveness.cli.arguments import (
    add_detector_arguments,
    add_model_arguments,
    make_parser,
    positive_float,
)
from liveness.cli.run import run
from liveness.constants import CHALLENGES, DEFAULT_TOLERANCE, EXIT_OK, ROOT
from liveness.errors import LivenessError
from liveness.processes import set_up_logging

logger = logging.getLogger("liveness.liveness_app_web")

NO_CHALLENGE = "none"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script."""
    parser = make_parser(__doc__)
    server = parser.add_argument_group("server")
    server.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="NAME",
        help="address to listen on: 0.0.0.0 for the whole network",
    )
    server.add_argument(
        "--port", type=port, default=5000, metavar="N", help="0 takes a free one"
    )
    server.add_argument(
        "--cert", type=Path, metavar="PEM", help="certificate, for https"
    )
    server.add_argument("--key", type=Path, metavar="PEM", help="its key")
    server.add_argument(
        "--database",
        default=ROOT / "liveness_web.sqlite",
        metavar="FILE",
        help="SQLite file, made on the first start, or the URL of another database; "
        "the key that signs sessions is beside it",
    )
    people = parser.add_argument_group("people")
    people.add_argument(
        "--challenge",
        choices=(*CHALLENGES, NO_CHALLENGE),
        default="random",
        help="movements that a face is asked for; without them a film of somebody "
        "may pass",
    )
    people.add_argument(
        "--known",
        type=Path,
        metavar="FILE.npz",
        help="encodings file of enroll_faces.py: only the people in it may sign up, "
        "each under their name there",
    )
    people.add_argument(
        "--tolerance",
        type=positive_float,
        default=DEFAULT_TOLERANCE,
        metavar="D",
        help="largest distance of a face from its person",
    )
    add_model_arguments(parser)
    add_detector_arguments(parser)
    return parser


def port(text: str) -> int:
    """argparse type: the number of a port."""
    if not (text.isdecimal() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"expected 0 to 65535, received {text!r}")
    return int(text)


def main(argv: list[str] | None = None) -> int:
    """Set up and serve until interrupted."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if (arguments.cert is None) != (arguments.key is None):
        parser.error("--cert and --key go together")
    set_up_logging(verbose=arguments.verbose)
    if not all(map(find_spec, ("flask", "cheroot", "argon2"))):
        raise LivenessError(
            "the web app needs more packages: pip install -r requirements-web.txt"
        )
    from liveness.web.app import LOOPBACK, Settings, create_app
    from liveness.web.face_checks import load_tools
    from liveness.web.server import Address, serve
    from liveness.workflow.judge import Judging

    database = str(arguments.database)
    folder = ROOT if "://" in database else Path(database).absolute().parent
    settings = Settings(
        database,
        folder / "liveness_web.key",
        is_secure=arguments.cert is not None,
        hosts=LOOPBACK if arguments.host in (*LOOPBACK, "::1") else None,
    )
    judging = Judging(
        arguments.model,
        arguments.le,
        arguments.threshold,
        detector=arguments.detector,
        confidence=arguments.confidence,
        known=arguments.known,
        tolerance=arguments.tolerance,
    )
    challenge = None if arguments.challenge == NO_CHALLENGE else arguments.challenge
    tools, description = load_tools(judging, challenge=challenge)
    logger.info("%s", description)
    app = create_app(settings, tools)
    address = Address(arguments.host, arguments.port, arguments.cert, arguments.key)
    serve(app, address, lambda url: print(f"open {url}", flush=True))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(run(main))
