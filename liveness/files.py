"""Whole files or none: how everything that matters is written."""

import os
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that its name only ever shows the whole content.

    The bytes go to a hidden ``.part`` file in the same folder, which then takes
    the name. A full disk or a killed process leaves an older file as it was.

    Args:
        path: File to create or replace; its folder must exist.
        data: The whole content.

    Raises:
        OSError: If the folder cannot be written or the disk is full.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except BaseException as error:  # also Ctrl-C: never leave the part behind
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # the name users know
        raise
