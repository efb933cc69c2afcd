"""Read RTSP streams of network cameras."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from liveness.errors import SourceError
from liveness.sources.developing import Developer
from liveness.sources.ffmpeg import av
from liveness.sources.film import Film, FilmFrame


class RtspConnection:
    """An RTSP stream, for ``frames.LiveSource``: open, grab, decode, close.

    Args:
        name: What messages call the stream, without credentials.
        secret_url: URL of the stream, including user and password if any.
        timeout_s: Opening and reading fail after this time without a response.
    """

    # TCP passes firewalls, and lost packets do not damage pictures.
    OPTIONS: ClassVar = {"rtsp_flags": "prefer_tcp"}

    def __init__(self, name: str, secret_url: str, *, timeout_s: float) -> None:
        self.name = name
        self.fps: float | None = None
        self._secret_url = secret_url
        self._timeout_s = timeout_s
        self._film: Film | None = None
        self._frames: Iterator[FilmFrame] = iter(())
        self._developer = Developer()

    def open(self) -> None:
        """Connect; raise SourceError, without the credentials, if that fails."""
        try:
            self._film = Film(
                self._secret_url, options=self.OPTIONS, timeout_s=self._timeout_s
            )
        except SourceError as error:
            raise SourceError(f"cannot read {self.name}: {error}") from error
        except (av.FFmpegError, OSError):
            raise SourceError(
                f"cannot open {self.name}: no answer, no such stream, or user and "
                "password rejected"
            ) from None  # the text of the error may contain the password
        self.fps = self._film.fps
        self._frames = iter(self._film)

    def grab(self, stall_s: float) -> FilmFrame:
        """Return the next frame; raise SourceError if the stream has ended."""
        try:
            frame = next(self._frames, None)
        except (av.FFmpegError, OSError):
            frame = None
        if frame is None:
            raise SourceError(f"{self.name}: the stream ended")
        return frame

    def decode(self, frame: FilmFrame) -> np.ndarray:
        """Convert a frame to a picture: (H, W, 3) uint8, BGR."""
        return self._developer.picture(frame.image, frame.aspect)

    def interrupt(self) -> None:
        """Do nothing: reads have their own timeout."""

    def close(self) -> None:
        """Disconnect; ``open`` may follow."""
        self._frames = iter(())
        if self._film is not None:
            self._film.close()
            self._film = None
