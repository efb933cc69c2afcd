"""The documentation tells the truth: options, commands, output, links, formats."""

import ast
import dataclasses
import functools
import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest

from docs import console, make_options
from liveness.constants import ROOT

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "dataset", "images", "face_detector", "benchmarks")
    for path in (ROOT / folder).glob("*.md")
)
WITH_COMMANDS = [
    page for page in PAGES if console.commands_of((ROOT / page).read_text("utf-8"))
]
README_LINES = 250  # at most: one page of doing


@functools.cache
def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def prose_of(page: str) -> str:
    """The page without what stands in code blocks."""
    return re.sub(r"^ *```.*?^ *```", "", text_of(page), flags=re.M | re.S)


def anchors_of(page: str) -> set[str]:
    """What a heading can be linked by, as GitHub makes it."""
    titles = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", title.lower()) for title in titles]
    return {title.replace(" ", "-") for title in plain}


def section_of(page: str, title: str) -> str:
    """What follows a heading, up to the next one, or a paragraph in bold."""
    _, found, rest = text_of(page).partition(f"{title}\n")
    assert found, f"{page} lacks '{title}'"
    return re.split(r"^(?:#|\*\*)", rest, flags=re.MULTILINE)[0]


def keys_in(section: str) -> set[str]:
    """The first column of the tables of a section."""
    return set(re.findall(r"^\| `([^`]+)`", section, re.MULTILINE))


def test_options_are_those_of_the_parsers():
    written = make_options.PAGE.read_text(encoding="utf-8")
    assert written == make_options.page(), "run python -m docs.make_options"


def test_options_page_has_every_script_and_option():
    options = text_of("docs/options.md")
    for script in make_options.scripts():
        assert f"\n## {script}.py\n" in options
    for option in ("--dataset", "--challenge", "--url", "--verify", "--calibrate"):
        assert f"{option}" in options
    assert len(make_options.scripts()) >= 8


def lines_to_type() -> list[tuple[str, str]]:
    """Page and command line of everything that a reader is told to type."""
    return [
        (page, re.split(r" && |; | #", line)[0])
        for page in PAGES
        for line in re.findall(
            r"^ *(?:\$ )?python (\w+\.py .*)", text_of(page), re.MULTILINE
        )
    ]


@pytest.mark.parametrize(("page", "line"), lines_to_type())
def test_commands_name_options_that_exist(page, line):
    script, *options = shlex.split(line)
    module = importlib.import_module(Path(script).stem)
    module.build_parser().parse_args(options)


@pytest.mark.skipif(
    sys.platform == "win32", reason="the commands are for a POSIX shell"
)
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_commands_print_what_the_page_shows(page, tmp_path):
    console.copy_checkout(tmp_path)
    for command in console.commands_of(text_of(page)):
        received = console.run_command(command.line, tmp_path)
        assert console.is_same(command.expected, received), (
            f"$ {command.line}\n" + "\n".join(received)
        )


def test_readme_and_three_pages_show_commands():
    assert {"README.md", "docs/formats.md", "docs/live.md"} <= set(WITH_COMMANDS)
    for page in PAGES:  # a prompt elsewhere would not be run
        blocks = re.sub(r"^```console$.*?^```$", "", text_of(page), flags=re.M | re.S)
        assert not re.search(r"^ *\$ ", blocks, re.MULTILINE), page


@pytest.mark.parametrize(
    ("expected", "received", "same"),
    [
        (["saved: 7"], ["saved: 7"], True),
        (["saved: 7"], ["saved: 8"], False),
        (["score 0.998"], ["score 1.000"], True),
        (["score 0.95"], ["score 0.99"], False),
        (["real  score 1.0"], ["fake  score 1.0"], False),
        (["box 10,20,30,40  x"], ["box 11,20,28,40  x"], True),
        (["box 10,20,30,40"], ["box 13,20,30,40"], False),
        (["a", "...", "z"], ["a", "b", "c", "z"], True),
        (["a", "...", "z"], ["a", "b"], False),
        (["a", "..."], ["a"], True),
        (["a"], ["a", "b"], False),
        (["a", "b"], ["a"], False),
        (["a threshold of 0.608;"], ["a threshold of 0.31;"], True),
        ([], ["a"], False),
    ],
)
def test_what_counts_as_the_same_output(expected, received, same):
    assert console.is_same(expected, received) is same


def test_renewing_a_page_replaces_its_output(tmp_path):
    page = "a\n```console\n$ echo new; echo 2\nold\n$ echo 3\n3\n```\nb\n"
    renewed = "a\n```console\n$ echo new; echo 2\nnew\n2\n$ echo 3\n3\n```\nb\n"
    assert console.renew(page, tmp_path) == renewed


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(\s*([^)\s]+)\s*\)", prose_of(page))
    for link in links:
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page} links to {link}"
        if anchor:
            other = target.resolve().relative_to(ROOT).as_posix()
            assert anchor in anchors_of(other), f"{page} links to {link}"


def test_readme_links_every_page_and_stays_short():
    readme = text_of("README.md")
    for page in PAGES:
        if page.startswith("docs/"):
            assert f"]({page}" in readme, page
    assert len(readme.splitlines()) <= README_LINES


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_each_page_begins_with_what_it_is_for(page):
    title, empty, first, *_ = text_of(page).splitlines()
    assert title.startswith("# ") and not empty
    assert re.match(r"[A-Z]\w+ ", first)


@pytest.mark.parametrize("page", ["docs/tried.md", "benchmarks/RESULTS.md"])
def test_notes_of_developers_say_so_at_once(page):
    start = " ".join(text_of(page).splitlines()[:4])
    assert "Nobody who uses the project needs this page" in start


def test_formats_page_has_every_key_of_the_card():
    from liveness.model.card import ModelCard

    fields = {field.name for field in dataclasses.fields(ModelCard)}
    assert (
        keys_in(section_of("docs/formats.md", "**The model card**, `liveness.json`:"))
        == fields
    )


def test_formats_page_has_every_key_of_the_rates():
    import numpy as np

    from liveness.evaluation.report import ScoredFaces, evaluate

    faces = ScoredFaces(["1.png"] * 4, ["", "", "a", "a"], [*"abcd"], np.arange(4) / 4)
    changed = {"bluer": faces.scores}
    written = evaluate(faces, threshold=0.5, changed=changed).as_json()
    assert keys_in(section_of("docs/formats.md", "### Error rates")) == written.keys()


def test_formats_page_has_every_key_of_sites_left_out():
    from liveness.evaluation.sites import Mean, SiteResult

    keys = keys_in(section_of("docs/formats.md", "### Sites left out"))
    row = {field.name for field in dataclasses.fields(SiteResult)}
    mean = {f"means.*.*.{field.name}" for field in dataclasses.fields(Mean)}
    assert keys == row | mean | {"sites", "means", "changed"}


def test_formats_page_has_every_key_of_a_face():
    from liveness.model.verdicts import FaceVerdict, Match

    face = FaceVerdict((0, 0, 1, 1), 1.0, 0.5, "real", "", 1, Match("Anna", 0.1))
    assert keys_in(section_of("docs/formats.md", "### A face")) == face.as_json().keys()


def test_formats_page_has_every_column():
    from liveness.data.crops_table import COLUMNS
    from liveness.evaluation.report import SCORES_COLUMNS

    page = "docs/formats.md"
    crops = section_of(page, "**`crops.csv`** has one row per crop:")
    assert re.findall(r"`(\w+)`", "".join(re.findall(r"^\|[^|]+", crops, re.M))) == [
        *COLUMNS
    ]
    assert keys_in(section_of(page, "## Scores CSV")) == set(SCORES_COLUMNS)


@functools.cache
def messages() -> str:
    """All text in the code of scripts and package, with a mark at each blank."""
    texts = []
    for path in [*ROOT.glob("*.py"), *(ROOT / "liveness").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (getattr(part, "value", "") for part in node.values)
                texts.append("\0".join(p for p in parts if isinstance(p, str)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def test_troubleshooting_quotes_messages_that_exist():
    table = section_of("docs/troubleshooting.md", "## Messages of the scripts")
    for cell in re.findall(r"^\| (.*?) \|", table, re.MULTILINE):
        for quoted in re.findall(r"`([^`]+)`", cell):
            if quoted.startswith("\\"):
                continue
            for part in quoted.split("..."):
                assert part.strip() in messages(), quoted


def test_reasons_are_those_of_the_app():
    table = section_of("docs/live.md", "## What the verdicts mean")
    reasons = re.findall(r"^\| ([a-z][^|]+?) \| ", table, re.MULTILINE)[1:]
    assert len(reasons) >= 10
    for reason in reasons:
        assert reason in messages()


def test_rooms_are_those_of_the_package():
    rooms = {path.parent.name for path in (ROOT / "liveness").glob("*/__init__.py")}
    assert keys_in(section_of("CONTRIBUTING.md", "## Where things are")) == rooms
