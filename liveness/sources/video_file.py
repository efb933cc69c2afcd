"""Read every frame of a video file and report damage."""

import logging
import time
from pathlib import Path

from liveness.errors import SourceError
from liveness.sources.developing import Developer
from liveness.sources.ffmpeg import av
from liveness.sources.film import Film, FilmFrame
from liveness.sources.source import Frame, FrameSource

MIN_COMPLETE_SHARE = 0.9  # of the stated duration; a file with less is damaged ...
LAST_GAPS = 3  # ... unless only this many of its longest frame intervals are missing
SNIFF_BYTES = 1024

logger = logging.getLogger(__name__)


class VideoFile(FrameSource):
    """A video file; its frames are upright and have square pixels.

    Raises:
        SourceError: If the file is missing, empty, not a video or without frames.
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
        # Opened here because FFmpeg accepts only UTF-8 names.
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
                "%s holds %d videos: only the main one is read",
                self.name,
                self._film.others + 1,
            )
        if not self._film.has_times:
            self.fps = 1 / self._film.step_s
            logger.warning(
                "%s has no time stamps: assuming %g frames per second",
                self.name,
                round(self.fps, 3),
            )

    def read(self) -> Frame | None:
        """Return the next frame, None at the end."""
        frame = self._next()
        if frame is None:
            return None
        image = self._developer.picture(frame.image, frame.aspect)
        return Frame(image, self._index - 1, frame.time_s, time.monotonic())

    def skip(self) -> bool:
        """Skip the next frame, which is cheaper than read; False at the end."""
        return self._next() is not None

    def close(self) -> None:
        """Close the file; it is safe to call this twice."""
        if self._film is not None:
            self._film.close()
        self._file.close()

    def _next(self) -> FilmFrame | None:
        """Decode the next frame; None at the end."""
        frame, self._first = self._first, None
        if frame is None and not self._is_at_end:
            try:
                frame = next(self._frames, None)
            except (av.FFmpegError, OSError) as error:
                logger.debug("%s: %s", self.name, error)
            if frame is None:
                self._is_at_end = True
                self._warn_of_damage()
        if frame is not None:
            self._index += 1
        return frame

    def _warn_of_damage(self) -> None:
        """Warn of frames that were skipped and of a file that ends early."""
        film = self._film
        if film.damaged:
            logger.warning(
                "%s: %d damaged frames were skipped", self.name, film.damaged
            )
        duration_s = film.duration_s or 0
        missing_s = duration_s - film.read_s
        tolerance_s = (1 - MIN_COMPLETE_SHARE) * duration_s
        if missing_s > max(tolerance_s, LAST_GAPS * film.longest_gap_s):
            logger.warning(
                "%s ends after %.1f of %.1f s: is it damaged?",
                self.name,
                film.read_s,
                duration_s,
            )


def check_video_file(path: Path) -> None:
    """Reject a file that is not a video before a decoder opens it.

    FFmpeg renders text files as pictures and follows playlists to other files and
    URLs. The first bytes of a video file always include some that no text contains.

    Raises:
        SourceError: If the file is missing, unreadable, empty or not a video.
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
