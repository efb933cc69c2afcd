"""Figures of a collecting run over all its inputs."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from liveness.data.crops_folder import DatasetFolder, content_of, source_of
from liveness.data.extraction import Examined

logger = logging.getLogger(__name__)


@dataclass
class Tally:
    """Figures of a run over all its inputs."""

    inputs: int = 0
    read: int = 0
    examined: int = 0
    saved: int = 0
    known: int = 0  # inputs that were in the folder already
    failed: int = 0  # inputs that could not be read

    def choose(
        self,
        paths: Iterable[Path],
        dataset: DatasetFolder,
        *,
        level: int = logging.INFO,
    ) -> dict[Path, str]:
        """Choose the inputs to examine.

        Args:
            paths: All inputs.
            dataset: Where their crops go.
            level: Of the log line for each input that is in the folder already.

        Returns:
            The source of each input that is not.
        """
        chosen: dict[Path, str] = {}
        contents: set[str] = set()
        for path in paths:
            self.inputs += 1
            try:
                source = source_of(path)
            except OSError:
                chosen[path] = path.name  # reading it will tell what is wrong
                continue
            if dataset.has(source) or content_of(source) in contents:
                self.known += 1
                logger.log(level, "%s: already collected, skipped", path)
                continue
            contents.add(content_of(source))
            chosen[path] = source
        return chosen

    def count(self, path: Path, examined: Examined, *, saved: int) -> None:
        """Add an input's figures and warn about what is wrong with it."""
        self.read += examined.read
        self.examined += examined.examined
        self.saved += saved
        if examined.error is not None:
            self.failed += 1
            logger.warning("%s", examined.error)
        elif examined.examined == 0:
            logger.warning(
                "%s: none of its %d frames examined; lower -s",
                path,
                examined.read,
            )
        elif saved == 0:
            logger.warning("%s: no face found", path)

    def summary(self, unit: str) -> str:
        """Return one line of figures; ``unit`` is what was read: frames or pictures."""
        parts = [
            f"{unit} read: {self.read}",
            f"examined: {self.examined}",
            f"without a face: {self.examined - self.saved}",
            f"saved: {self.saved}",
        ]
        if self.known:
            parts.append(f"already collected: {self.known}")
        if self.failed:
            parts.append(f"unreadable: {self.failed}")
        return ", ".join(parts)

    @property
    def found_nothing(self) -> bool:
        """Whether there were new, readable inputs and none of them showed a face."""
        return not self.failed and self.saved == 0 and self.known < self.inputs
