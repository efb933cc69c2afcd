"""Read CSV files written by this project or saved again by a spreadsheet program.

Spreadsheet programs may add a byte order mark, use other line endings, and separate
columns by semicolons in countries that write decimal commas.
"""

import csv
from pathlib import Path

ENCODING = "utf-8-sig"  # UTF-8 with or without a byte order mark


def delimiter_of(header: str) -> str:
    """Return the column separator of a header: comma, semicolon or tab."""
    return max(",;\t", key=header.count)


def as_written(text: str) -> str:
    """Escape what is not valid UTF-8 in a text, such as bytes of a file name."""
    return text.encode(errors="backslashreplace").decode()


def number_in(field: str) -> float:
    """Parse a number with a decimal point or a decimal comma.

    Raises:
        ValueError: If the field is not a number.
    """
    return float(field.replace(",", "."))


def read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read the column names and rows of a CSV file.

    Raises:
        OSError: If the file cannot be read.
        UnicodeDecodeError: If the file is not UTF-8.
        csv.Error: If the file is not a valid CSV table.
    """
    with path.open(newline="", encoding=ENCODING) as file:
        delimiter = delimiter_of(file.readline())
        file.seek(0)
        reader = csv.DictReader(file, delimiter=delimiter)
        return list(reader.fieldnames or ()), list(reader)
