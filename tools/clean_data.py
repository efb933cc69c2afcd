"""Drop and relabel pictures of the training data that are not what their list says.

    python -m tools.clean_data -i DATA -o CLEAN

DATA has crops.csv and frames.csv (path, site, label, attack, group). CLEAN gets both
lists without the rows that a rule drops, with the attacks that a rule corrects, and
links to DATA's folders. Then gather_sites.py reads CLEAN, and training does. For
whoever trains the default model; nobody else needs it. The rules come from looking at
contact sheets of every site.
"""

import argparse
import csv
import fnmatch
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from liveness.cli.arguments import make_parser
from liveness.cli.run import run
from liveness.constants import EXIT_OK
from liveness.errors import DatasetError
from liveness.io.tables import read_rows
from liveness.processes import set_up_logging

LISTS = ("crops.csv", "frames.csv")
FOLDERS = ("crops", "frames", "videos")


@dataclass(frozen=True)
class Rule:
    """Rows of one site and what becomes of them.

    Attributes:
        site: The site.
        names: Patterns of the file's name, with a label or attack before the number.
        why: What the pictures are.
        group: Only rows of this group; empty for all.
        below_px: Only pictures whose longer side is shorter; None for all.
        attack: What the attack really is; None drops the rows.
    """

    site: str
    names: str
    why: str
    group: str = ""
    below_px: int | None = None
    attack: str | None = None

    def fits(self, row: dict[str, str], data: Path) -> bool:
        """Return whether the rule is about this row."""
        if row["site"] != self.site or not fnmatch.fnmatch(row["group"], self.group):
            return False
        name = row["path"].split(f"/{self.site}/", 1)[-1]
        if not any(fnmatch.fnmatch(name, pattern) for pattern in self.names.split()):
            return False
        if self.below_px is None:
            return True
        with Image.open(data / row["path"]) as picture:
            return max(picture.size) < self.below_px


RULES = (
    Rule("site22", "fake/*", "the holder, not the attack", group="site22-025"),
    Rule("site22", "real/0201.jpg real/0206.jpg", "no face", group="*"),
    Rule("site26", "fake/replay-0087.jpg", "no face", group="*"),
    Rule("site28", "fake/*", "people in the room", group="*", below_px=200),
    Rule("site34", "fake/replay-0001.jpg", "no attack to be seen", group="*"),
    Rule("site37", "real/0070.jpg", "no face", group="*"),
    Rule("site39", "real/0007.jpg", "no face", group="*"),
    Rule("site43", "*", "too small to tell", group="*", below_px=90),
    Rule("site43", "fake/print-0394.jpg", "a screen", group="*", attack="replay"),
    Rule(
        "site46",
        "fake/replay-000[126789].jpg fake/replay-002[124-8].jpg fake/replay-0068.jpg",
        "corners of a screen",
        group="*",
    ),
    *(
        Rule("site46", "fake/mask-*", "printed masks", group=pattern, attack="print")
        for pattern in ("site46-00[1-9]", "site46-0[12]?", "site46-03[0-6]")
    ),
    Rule(
        "site48",
        "real/0098.jpg fake/unknown-0026.jpg fake/unknown-005[46].jpg "
        "fake/unknown-0061.jpg fake/unknown-0093.jpg fake/unknown-012[79].jpg "
        "fake/unknown-0242.jpg",
        "no face",
        group="*",
    ),
    Rule(
        "site48",
        "fake/unknown-014[05].jpg fake/unknown-018[28].jpg",
        "screens",
        group="*",
        attack="replay",
    ),
)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = make_parser(__doc__)
    for flags, metavar, text in (
        (("-i", "--input"), "DATA", "folder with the lists"),
        (("-o", "--output"), "CLEAN", "new folder for the corrected lists"),
    ):
        parser.add_argument(
            *flags, type=Path, required=True, metavar=metavar, help=text
        )
    return parser


def clean(data: Path, output: Path) -> Counter[str]:
    """Write corrected lists; returns how many rows each rule changed.

    Raises:
        DatasetError: If a rule fits no row: the data are not those it is about.
        OSError: If a list cannot be read, or the folder exists already.
    """
    changed: Counter[str] = Counter()
    used: set[Rule] = set()
    output.mkdir(parents=True)
    for name in LISTS:
        columns, rows = read_rows(data / name)
        kept = []
        for row in rows:
            rule = next((rule for rule in RULES if rule.fits(row, data)), None)
            if rule:
                used.add(rule)
                what = f"now {rule.attack}" if rule.attack else "dropped"
                changed[f"{rule.site}: {rule.why}, {what}"] += 1
            if rule is None or rule.attack:
                kept.append(row | ({"attack": rule.attack} if rule else {}))
        with (output / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(kept)
    if idle := [rule for rule in RULES if rule not in used]:
        raise DatasetError(f"no picture for the rule {idle[0]}: other data?")
    for folder in FOLDERS:
        (output / folder).symlink_to((data / folder).resolve())
    return changed


def main(argv: list[str] | None = None) -> int:
    """Write the lists and print what the rules changed."""
    arguments = build_parser().parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    for what, count in clean(arguments.input, arguments.output).items():
        print(f"{count:4} {what}")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(run(main))
