"""Measure how well a training recipe generalises to unseen sites.

python leave_sites_out.py -d DATA gathered --simulate-attacks --scores scores.csv

Leave-sites-out cross-validation: the sites are split into folds, and a network is
trained on the other folds and scores the sites of its own. The threshold for a site
comes from the scores of the other folds; its own scores are never used. "calibr." is
the ACER at a threshold of the site's own: each half of its faces is measured at the
threshold of the other half. Tight crops and full frames are reported separately, and
so is each kind of attack.
--within SITE leaves out the groups (people) of that one site instead. --jobs 2 trains
two folds at a time.
"""

import argparse
import json
import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from liveness.cli.arguments import (
    add_cluster_argument,
    add_recipe_arguments,
    make_parser,
    positive_int,
    recipe_of,
)
from liveness.cli.run import run
from liveness.constants import EXIT_OK
from liveness.processes import set_up_logging

if TYPE_CHECKING:
    from liveness.evaluation.sites import SiteResult

logger = logging.getLogger("liveness.leave_sites_out")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "-d",
        "--dataset",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="dataset folders that hold the sites: DIR/site/real, DIR/site/fake",
    )
    parser.add_argument(
        "--within",
        metavar="SITE",
        help="leave out groups (people) of this site instead; all other sites train",
    )
    parser.add_argument(
        "--folds",
        type=folds_number,
        default=5,
        metavar="N",
        help="number of folds, 2 or more",
    )
    parser.add_argument(
        "--together",
        action="append",
        default=[],
        type=site_names,
        metavar="SITE,SITE",
        help="sites to keep in one fold because they share a room or a person; "
        "may be repeated",
    )
    parser.add_argument(
        "--jobs",
        type=positive_int,
        default=1,
        metavar="N",
        help="folds trained at a time, each in a process with its share of the cores "
        "and 2.5 GB of memory or more",
    )
    add_cluster_argument(parser)
    parser.add_argument(
        "--changes",
        action="store_true",
        help="also measure the faces under other light, colours and focus",
    )
    add_recipe_arguments(parser, seed=7)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table")
    parser.add_argument(
        "--scores", type=Path, metavar="CSV", help="write the score of each face"
    )
    return parser


def folds_number(text: str) -> int:
    """argparse type: parts of which one is left out and the others train."""
    count = positive_int(text)
    if count < 2:
        raise argparse.ArgumentTypeError(f"expected 2 or more, received {text!r}")
    return count


def site_names(text: str) -> set[str]:
    """argparse type: two names of sites or more, with commas between them."""
    names = {name.strip() for name in text.split(",")}
    if len(names) < 2 or "" in names:
        raise argparse.ArgumentTypeError(
            f"expected names such as site01,site02, received {text!r}"
        )
    return names


def table(results: "Sequence[SiteResult]") -> str:
    """Format one line per site, and the means over sites of each kind."""
    from liveness.evaluation.sites import means

    lines = [
        f"{'site':<18}{'kind':<13}{'attack':<10}{'faces':>6}{'EER':>8}{'AUC':>7}"
        f"{'APCER':>8}{'BPCER':>8}{'ACER':>8}{'calibr.':>9}"
    ]
    for one in sorted(results, key=lambda one: (one.kind, one.site, one.attack)):
        calibrated = one.acer_calibrated
        lines.append(
            f"{one.site:<18}{one.kind:<13}{one.attack:<10}{one.faces:>6}"
            f"{one.eer:>8.1%}{one.auc:>7.3f}{one.apcer:>8.1%}{one.bpcer:>8.1%}"
            f"{one.acer:>8.1%}" + ("" if calibrated is None else f"{calibrated:>9.1%}")
        )
    for name, figures in means(results).items():
        most = max(mean.sites for mean in figures.values())
        values = "  ".join(
            f"{figure} {mean}"
            + (f" over {mean.sites} of the sites" if mean.sites < most else "")
            for figure, mean in figures.items()
        )
        lines.append(f"mean over sites, {name}: {values}")
    return "\n".join(lines)


def table_of_changes(changed: "dict[str, list[SiteResult]]") -> str:
    """Return means over sites, one line for each change, for each kind.

    Args:
        changed: The results by what was changed; the first are of the unchanged.
    """
    from liveness.evaluation.report import lines_of_changes
    from liveness.evaluation.sites import means

    means_of = {name: means(results) for name, results in changed.items()}
    lines = []
    for kind in next(iter(means_of.values())):
        figures = {
            name: [
                found[kind][rate].value for rate in ("APCER", "BPCER", "ACER", "EER")
            ]
            for name, found in means_of.items()
        }
        lines += ["", *lines_of_changes(kind, figures, width=34)]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Train and score every fold, and print the table."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.resume and not arguments.scores:
        parser.error("--resume needs --scores: the checkpoints lie beside that file")
    set_up_logging(verbose=arguments.verbose)
    from liveness.data.dataset import files_of
    from liveness.io.files import check_output_files, write_atomically
    from liveness.training.recipe import recipe_file
    from liveness.workflow.cross_validate import Split, cross_validate
    from livenessnet import LivenessNet

    outputs = [path for path in (arguments.scores, arguments.json) if path]
    if arguments.scores:
        outputs.append(recipe_file(arguments.scores))
    check_output_files(outputs, inputs=files_of(arguments.dataset))
    validation = cross_validate(
        arguments.dataset,
        recipe_of(arguments),
        LivenessNet,
        Split(arguments.folds, arguments.within, arguments.together),
        never_train=arguments.never_train,
        changes=arguments.changes,
        scores=arguments.scores,
        resume=arguments.resume,
        jobs=arguments.jobs,
        cluster=arguments.cluster,
    )
    print(table(validation.sites))
    if arguments.changes:
        print(table_of_changes(validation.results))
    if arguments.json:
        text = json.dumps(validation.as_json(), indent=2)
        write_atomically(arguments.json, text.encode())
    if arguments.scores and not arguments.within:
        folders = [str(folder) for folder in arguments.dataset]
        command = ["python", "train_model.py", "-d", *folders]
        command += ["--threshold-from", str(arguments.scores)]
        logger.info("to train on all of it alike: %s", shlex.join(command))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(run(main))
