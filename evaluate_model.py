"""Measure a model on a dataset, or set its threshold for your own camera.

python evaluate_model.py -d dataset -m liveness.h5 -l label_encoder.pickle

With --calibrate the threshold is chosen on the given faces and written into the
model's card: python evaluate_model.py --real me.mp4 --fake replay.mp4 --calibrate
With --changes the faces are also measured under other light, colours and focus.
"""

import argparse
import itertools
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from liveness.cli.arguments import (
    add_cluster_argument,
    add_model_arguments,
    make_parser,
    probability,
)
from liveness.cli.run import run
from liveness.constants import DEFAULT_DETECTOR, EXIT_OK
from liveness.processes import set_up_logging

if TYPE_CHECKING:
    from liveness.workflow.evaluate import Measurement

logger = logging.getLogger("liveness.evaluate_model")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script."""
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
        default=DEFAULT_DETECTOR,
        metavar="DIR",
        help="folder of the SSD face detector, for --real and --fake",
    )
    add_model_arguments(parser)
    add_cluster_argument(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--scores", type=Path, metavar="CSV", help="write the score of each face"
    )
    output.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    output.add_argument(
        "-p", "--plot", type=Path, metavar="PNG", help="DET, ROC and score histograms"
    )
    output.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write a report with the worst-judged faces into a new folder; open "
        "DIR/index.html",
    )
    output.add_argument(
        "--changes",
        action="store_true",
        help="also measure the faces under other light, colours and focus",
    )
    calibration = parser.add_argument_group("calibration")
    calibration.add_argument(
        "--calibrate",
        action="store_true",
        help="choose the threshold on these faces and store it in the model's card",
    )
    calibration.add_argument(
        "--bpcer",
        type=probability,
        metavar="P",
        help="maximum share of real faces that are refused (default: equal error)",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Score, report and, if asked to, calibrate."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    _check_usage(parser, arguments)
    set_up_logging(verbose=arguments.verbose)
    from liveness.evaluation.html_report import check_report_folder
    from liveness.evaluation.report import write_scores
    from liveness.io.files import check_output_files
    from liveness.model.paths import find_model
    from liveness.workflow.evaluate import Calibration, FaceFiles, evaluate_model

    files = FaceFiles(
        dataset=arguments.dataset,
        real=arguments.real,
        fake=arguments.fake,
        detector=arguments.detector,
        jobs=os.cpu_count() or 1,
        cluster=arguments.cluster,
    )
    paths = find_model(arguments.model, arguments.le)
    outputs = [arguments.scores, arguments.json, arguments.plot]
    inputs = itertools.chain(paths.files, files.files())
    check_output_files(filter(None, outputs), inputs=inputs)
    if arguments.calibrate:
        check_output_files([paths.card])
    if arguments.report:
        check_report_folder(arguments.report)
    measurement = evaluate_model(
        files,
        model=arguments.model,
        label_encoder=arguments.le,
        threshold=arguments.threshold,
        changes=arguments.changes,
        calibration=Calibration(arguments.bpcer) if arguments.calibrate else None,
    )
    evaluation = measurement.evaluation
    print(evaluation.as_text())
    for sentence in evaluation.advice:
        logger.info("%s", sentence)
    if arguments.scores:
        write_scores(arguments.scores, measurement.faces)
    if arguments.report:
        page = measurement.write_report(arguments.report)
        logger.info("wrote %s: it shows faces, keep it as you keep the films", page)
    _write_figures(measurement, json_file=arguments.json, plot=arguments.plot)
    return EXIT_OK


def _check_usage(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace
) -> None:
    """End with a usage error where options do not go together."""
    if not (arguments.dataset or arguments.real or arguments.fake):
        parser.error("nothing to measure on: give -d, or --real and --fake")
    if arguments.bpcer is not None and not arguments.calibrate:
        parser.error("--bpcer goes with --calibrate")
    if arguments.calibrate and arguments.threshold is not None:
        parser.error("--calibrate chooses the threshold: leave out --threshold")


def _write_figures(
    measurement: "Measurement", *, json_file: Path | None, plot: Path | None
) -> None:
    """Write the report as JSON and as a figure, where they are wanted."""
    from liveness.io.files import write_atomically

    faces, evaluation = measurement.faces, measurement.evaluation
    if json_file:
        text = json.dumps(evaluation.as_json(), indent=2) + "\n"
        write_atomically(json_file, text.encode())
    if plot:
        from liveness.evaluation.plots import save_evaluation

        save_evaluation(
            plot, faces.scores, faces.attacks, threshold=evaluation.rates.threshold
        )


if __name__ == "__main__":
    sys.exit(run(main))
