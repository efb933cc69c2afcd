"""Tell real faces from pictures of faces on the camera of an Android phone.

    python liveness_app_android.py -u http://192.168.83.33:8080 -c 0.5

The phone runs the app IP Webcam, which shows this address after "Start server".
Press q to quit. The exit code of --once is 0 for real, 3 for fake and 4 for no
decision in time.
"""

import argparse
import sys

from liveness.cli.arguments import (
    add_detector_arguments,
    add_identity_arguments,
    add_model_arguments,
    check_identity_arguments,
    make_parser,
)
from liveness.cli.live_app import (
    add_challenge_argument,
    add_live_arguments,
    parse_discreetly,
    run_live_app,
)
from liveness.cli.run import run
from liveness.processes import set_up_logging


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script."""
    parser = make_parser(__doc__)
    group = parser.add_argument_group("phone")
    group.add_argument(
        "-u",
        "--url",
        required=True,
        help="address shown by IP Webcam, or its /video or /shot.jpg",
    )
    group.add_argument("--user", help="login name set in IP Webcam")
    group.add_argument("--password", help="password set in IP Webcam")
    group.add_argument(
        "--insecure",
        action="store_true",
        help="accept a self-signed https certificate",
    )
    add_detector_arguments(parser)
    add_model_arguments(parser)
    add_challenge_argument(parser)
    add_identity_arguments(parser)
    add_live_arguments(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the script; returns its exit code."""
    parser = build_parser()
    arguments = parse_discreetly(parser, argv)
    check_identity_arguments(parser, arguments)
    set_up_logging(verbose=arguments.verbose)
    # Loads OpenCV, which --help can do without.
    from liveness.sources.camera_address import parse_address
    from liveness.sources.frames import open_ip_webcam

    # Before a model is loaded.
    address = parse_address(arguments.url, user=arguments.user)
    if arguments.password is not None and address.user is None:
        parser.error("--password needs --user")

    def open_it():
        return open_ip_webcam(
            arguments.url,
            user=arguments.user,
            password=arguments.password,
            verify_tls=not arguments.insecure,
            timeout_s=arguments.timeout,
        )

    return run_live_app(arguments, open_it, title="Liveness (Android)")


if __name__ == "__main__":
    sys.exit(run(main))
