"""CSV files as this project writes them, and as spreadsheet programs save them again.

Those put a mark before the first column, separate by semicolons where the comma
is in numbers, and end lines in another way.
"""

import csv
from pathlib import Path

ENCODING = "utf-8-sig"  # UTF-8 with or without a mark at its start


def delimiter_of(header: str) -> str:
    """What separates the columns: a comma, a semicolon or a tab."""
    return max(",;\t", key=header.count)


def as_written(text: str) -> str:
    """A text as a table has it: what is not UTF-8, as in a file's name, is escaped."""
    return text.encode(errors="backslashreplace").decode()


def number_in(field: str) -> float:
    """A number with a decimal point, or with the comma that some countries have.

    Raises:
        ValueError: If it is none.
    """
    return float(field.replace(",", "."))


def read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a CSV file.

    Raises:
        OSError: If the file cannot be read.
        UnicodeDecodeError: If it is not in UTF-8.
        csv.Error: If it is no table.
    """
    with path.open(newline="", encoding=ENCODING) as file:
        delimiter = delimiter_of(file.readline())
        file.seek(0)
        reader = csv.DictReader(file, delimiter=delimiter)
        return list(reader.fieldnames or ()), list(reader)
