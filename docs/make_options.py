"""Generate docs/options.md from the parsers of the scripts.

    python -m docs.make_options

A test compares the page with what this gives.
"""

import argparse
import importlib
import re
import sys
from pathlib import Path

from liveness.constants import EXIT_OK, ROOT
from liveness.io.files import write_atomically

PAGE = Path(__file__).resolve().parent / "options.md"
EVERYWHERE = ("help", "verbose")  # options of every script, named once at the top
INTRODUCTION = """\
# Options

This page lists every option of every script, for looking things up.

It is generated from the scripts' own help: `python -m docs.make_options`. Every script
also has `-h/--help`, which prints the same text, and `--verbose`, which logs details.
Paths that are defaults are relative to the folder of the scripts.
"""
# Defaults that depend on the machine, by script and option.
DEFAULT_WORDS = {
    ("collect_dataset", "--jobs"): "number of CPU cores",
    ("gather_sites", "--jobs"): "number of CPU cores",
}


def scripts() -> list[str]:
    """Names of the modules at the root that have a ``build_parser``."""
    return sorted(
        path.stem
        for path in ROOT.glob("*.py")
        if "\ndef build_parser(" in path.read_text(encoding="utf-8")
    )


def page() -> str:
    """The whole page as Markdown."""
    sections = [INTRODUCTION]
    for name in scripts():
        parser = importlib.import_module(name).build_parser()
        sections.append(section(name, parser))
    return "\n".join(sections)


def section(script: str, parser: argparse.ArgumentParser) -> str:
    """One script: what it does, a table of its options, notes on groups of them."""
    summary = (parser.description or "").partition("\n\n")[0]
    lines = [f"## {script}.py", "", " ".join(summary.split()), ""]
    lines += ["| option | default | what it does |", "|---|---|---|"]
    for action in parser._actions:
        if action.dest in EVERYWHERE or action.help == argparse.SUPPRESS:
            continue
        default, text = default_and_help(script, action)
        cells = (f"`{spelling(action)}`", default, text)
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells))
        lines[-1] += " |"
    for group in parser._action_groups:
        if group.description:
            words = " ".join(group.description.split())
            lines += ["", f"*{group.title}*: {words}"]
    return "\n".join(lines) + "\n"


def spelling(action: argparse.Action) -> str:
    """The option as it is typed, with a placeholder for its value."""
    names = ", ".join(action.option_strings) or action.dest
    if action.nargs == 0:
        return names
    value = action.metavar or action.dest.upper()
    if action.metavar is None and action.choices:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    return f"{names} {value}" + " ..." * (action.nargs in ("+", "*"))


def default_and_help(script: str, action: argparse.Action) -> tuple[str, str]:
    """The default in words, empty for none, and the help text without it."""
    text = " ".join(((action.help or "") % vars(action)).split())
    text, _, words = re.fullmatch(r"(.*?)( \(default: (.*)\))?", text).groups()
    for name in action.option_strings:
        words = DEFAULT_WORDS.get((script, name), words)
    if action.required:
        words = "required"
    elif words is None and action.default not in (None, False, []):
        words = f"`{shown(action.default)}`"
    return words or "", text


def shown(value: object) -> str:
    """A default as one types it."""
    if isinstance(value, Path) and value.is_relative_to(ROOT):
        return value.relative_to(ROOT).as_posix()
    return str(value)


def main() -> int:
    """Write the page."""
    write_atomically(PAGE, page().encode())
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
