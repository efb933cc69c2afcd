"""How far a long run is: a bar on a terminal, otherwise a line now and then."""

import logging
import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

LINE_EVERY_S = 5.0

logger = logging.getLogger(__name__)


class Progress:
    """Shows ``done of total`` on stderr until it is left.

    Args:
        unit: What is counted, in the plural.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._logged_at = time.monotonic()
        self._bar = None
        self._redirect = None
        if sys.stderr.isatty():
            self._bar = tqdm(unit=f" {unit}", leave=False)
            self._redirect = logging_redirect_tqdm([logging.getLogger()])
        self._total = 0

    def show(self, done: int, total: int | None = None) -> None:
        """Say how far it is; cheap enough to be called for each item."""
        self._total = max(done, self._total if total is None else total)
        if self._bar is not None:
            self._bar.total = self._total
            self._bar.update(done - self._bar.n)
        elif time.monotonic() - self._logged_at >= LINE_EVERY_S:
            self._logged_at = time.monotonic()
            logger.info("%d of about %d %s", done, self._total, self._unit)

    def __enter__(self) -> Self:
        if self._redirect is not None:
            self._redirect.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None and self._redirect is not None:
            self._redirect.__exit__(kind, error, trace)
            self._bar.close()
