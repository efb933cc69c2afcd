"""Tell real faces from pictures of faces on a webcam, in real time.

    python liveness_app.py -c 0.5

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
    positive_float,
)
from liveness.cli.live_app import (
    add_challenge_argument,
    add_live_arguments,
    parse_discreetly,
    run_live_app,
    size_wh,
)
from liveness.cli.run import run
from liveness.constants import CAMERA_BACKENDS, EXIT_OK
from liveness.errors import SourceError
from liveness.processes import set_up_logging


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script."""
    parser = make_parser(__doc__)
    group = parser.add_argument_group("source")
    group.add_argument(
        "--source",
        default="0",
        metavar="N|FILE|URL",
        help="camera number, video file or URL",
    )
    group.add_argument(
        "--backend",
        choices=CAMERA_BACKENDS,
        default="any",
        help="OpenCV capture backend",
    )
    group.add_argument(
        "--camera-size", type=size_wh, metavar="WxH", help="picture size to request"
    )
    group.add_argument(
        "--camera-fps", type=positive_float, metavar="R", help="frame rate to request"
    )
    group.add_argument(
        "--list-cameras", action="store_true", help="list the cameras and exit"
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
    from liveness.sources.frames import (
        check_source,
        list_cameras,
        open_source,
        open_webcam,
    )

    if arguments.list_cameras:
        cameras = list_cameras()
        for camera in cameras:
            size = f"{camera.width_px}x{camera.height_px}"
            print(f"{camera.number}  {size}  {camera.name}")
        if not cameras:
            raise SourceError("no camera gives a picture: is one connected, and free?")
        return EXIT_OK

    def open_it():
        source = arguments.source
        if not source.isdecimal():
            return open_source(source, timeout_s=arguments.timeout)
        return open_webcam(
            int(source),
            backend=arguments.backend,
            size_wh=arguments.camera_size,
            fps=arguments.camera_fps,
            timeout_s=arguments.timeout,
        )

    file = check_source(arguments.source)
    return run_live_app(arguments, open_it, file=file, title="Liveness")


if __name__ == "__main__":
    sys.exit(run(main))
