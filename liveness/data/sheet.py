"""A contact sheet: many crops on one picture, to find the curtain among the faces."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from liveness.errors import DatasetError
from liveness.io.images import read_image, write_image

TILE_PX = 96
CAPTION_PX = 14
MOST_COLUMNS = 16
MOST_TILES = 1600  # more are a picture that no viewer opens
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def write_sheet(path: Path, crops: Sequence[Path]) -> int:
    """Write a contact sheet, with the number of each crop below it.

    Args:
        path: Picture to write.
        crops: Square pictures; the first ``MOST_TILES`` are shown.

    Returns:
        How many are shown.

    Raises:
        DatasetError: If there is no crop.
        ImageError: If a crop cannot be read, or the sheet cannot be written so.
        OSError: If the sheet cannot be written.
    """
    shown = crops[:MOST_TILES]
    if not shown:
        raise DatasetError(f"no crops for the sheet '{path}'")
    columns = min(MOST_COLUMNS, int(np.ceil(np.sqrt(len(shown)))))
    rows = -(-len(shown) // columns)
    height = TILE_PX + CAPTION_PX
    sheet = np.full((rows * height, columns * TILE_PX, 3), 255, np.uint8)
    for number, crop in enumerate(shown):
        top, left = number // columns * height, number % columns * TILE_PX
        tile = cv2.resize(
            read_image(crop), (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA
        )
        sheet[top : top + TILE_PX, left : left + TILE_PX] = tile
        place = (left + 2, top + height - 3)
        cv2.putText(sheet, crop.stem, place, _FONT, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    write_image(path, sheet)
    return len(shown)
