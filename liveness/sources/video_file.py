"""Video files: every frame, and what is wrong with the file."""

import logging
import time
from pathlib import Path

from liveness.errors import SourceError
from liveness.sources.developing import Developer
from liveness.sources.ffmpeg import av
from liveness.sources.film import Film, FilmFrame
from liveness.sources.source import Frame, FrameSource

MIN_COMPLETE_SHARE = 0.9  # of the time a file promises; less: it is damaged ...
LAST_GAPS = 3  # ... but for a last picture that long, in gaps between two pictures
SNIFF_BYTES = 1024

logger = logging.getLogger(__name__)


class VideoFile(FrameSource):
    """Every frame of a video file, upright and with square pixels as the file says.

    Raises:
        SourceError: If the file is missing, empty, no video or without frames.
    """

    is_live = False
    state = "file"

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.name = str(self.path)
        check_video_file(self.path)
        self._index = 0
        self._is_at_end = False
        self._developer = Developer()
        # Opened here: FFmpeg takes no name that is not UTF-8.
        self._file = self.path.open("rb")
        self._film: Film | None = None
        try:
            self._film = Film(self._file)
            self._frames = iter(self._film)
            self._first = next(self._frames, None)
        except SourceError as error:
            self.close()
            raise SourceError(f"cannot read video {self.name!r}: {error}") from error
        except (av.FFmpegError, OSError):
            self._first = None
        if self._first is None:
            self.close()
            raise SourceError(
                f"cannot read video {self.name!r}: not a video file, or none of its "
                "frames can be decoded"
            )
        self.fps, self.frame_count = self._film.fps, self._film.frame_count
        if self._film.others > 0:
            logger.warning(
                "%s holds %d films: only the main one is read",
                self.name,
                self._film.others + 1,
            )
        if not self._film.has_times:
            self.fps = 1 / self._film.step_s
            logger.warning(
                "%s has no times: %g frames per second are assumed",
                self.name,
                round(self.fps, 3),
            )

    def read(self) -> Frame | None:
        """The next frame, None at the end."""
        decoded = self._next()
        if decoded is None:
            return None
        image = self._developer.picture(decoded.image, decoded.aspect)
        return Frame(image, self._index - 1, decoded.time_s, time.monotonic())

    def skip(self) -> bool:
        """Pass over the next frame, which is cheaper than read; False at the end."""
        return self._next() is not None

    def close(self) -> None:
        """Close the file; may be called again."""
        if self._film is not None:
            self._film.close()
        self._file.close()

    def _next(self) -> FilmFrame | None:
        """The next frame as it was decoded, None at the end."""
        decoded, self._first = self._first, None
        if decoded is None and not self._is_at_end:
            try:
                decoded = next(self._frames, None)
            except (av.FFmpegError, OSError) as error:
                logger.debug("%s: %s", self.name, error)
            if decoded is None:
                self._is_at_end = True
                self._tell_damage()
        if decoded is not None:
            self._index += 1
        return decoded

    def _tell_damage(self) -> None:
        """Warn of frames passed over, and of a film that ends early."""
        film = self._film
        if film.damaged:
            logger.warning(
                "%s: %d damaged frames were passed over", self.name, film.damaged
            )
        promised_s = film.duration_s or 0
        missing_s = promised_s - film.read_s
        tolerance_s = (1 - MIN_COMPLETE_SHARE) * promised_s
        if missing_s > max(tolerance_s, LAST_GAPS * film.longest_gap_s):
            logger.warning(
                "%s ends after %.1f of %.1f s: is it damaged?",
                self.name,
                film.read_s,
                promised_s,
            )


def check_video_file(path: Path) -> None:
    """Refuse what is no video before a decoder sees it.

    FFmpeg draws text files as pictures and follows playlists to other files and
    addresses; a video file's first bytes always hold some that no text has.
    """
    try:
        with path.open("rb") as file:
            head = file.read(SNIFF_BYTES)
    except FileNotFoundError:
        raise SourceError(f"no such video file: {str(path)!r}") from None
    except OSError as error:
        raise SourceError(
            f"cannot read video {str(path)!r}: {error.strerror}"
        ) from error
    if not head:
        raise SourceError(f"cannot read video {str(path)!r}: the file is empty")
    if not any(byte < 9 for byte in head):
        raise SourceError(f"cannot read video {str(path)!r}: not a video file")
