"""How the scripts that collect faces report a run."""

import logging
from typing import TYPE_CHECKING

from liveness.constants import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from liveness.data.tally import Tally

logger = logging.getLogger(__name__)


def report(tally: "Tally", unit: str) -> int:
    """Print a run's summary.

    Args:
        tally: Of the run.
        unit: What was read: "frames" or "pictures".

    Returns:
        The exit code: 1 after an unreadable file, or when there was nothing to save.
    """
    print(tally.summary(unit))
    if tally.found_nothing:
        logger.error("no face was found, nothing was saved")
    return EXIT_FAILED if tally.failed or tally.found_nothing else EXIT_OK
