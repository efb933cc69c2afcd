"""Pictures from RTSP streams of network cameras."""

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
        name: What messages call it; without credentials.
        secret_url: Its URL, with user and password where it has them.
        timeout_s: Without an answer for so long opening and reading fail.
    """

    details = ""
    # Through firewalls, and no picture is torn by lost packets.
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
        """Connect; SourceError without the URL's credentials when that fails."""
        try:
            self._film = Film(
                self._secret_url, options=self.OPTIONS, timeout_s=self._timeout_s
            )
        except SourceError as error:
            raise SourceError(f"cannot read {self.name}: {error}") from error
        except (av.FFmpegError, OSError):  # from None: its text may hold the password
            raise SourceError(
                f"cannot open {self.name}: no answer, no such stream, or user and "
                "password refused"
            ) from None
        self.fps = self._film.fps
        self._frames = iter(self._film)

    def grab(self, stall_s: float) -> FilmFrame:
        """The next frame; SourceError when the stream has none any more."""
        try:
            frame = next(self._frames, None)
        except (av.FFmpegError, OSError):
            frame = None
        if frame is None:
            raise SourceError(f"{self.name} gives no picture any more")
        return frame

    def decode(self, frame: FilmFrame) -> np.ndarray:
        """The frame's picture: (H, W, 3) uint8, BGR."""
        return self._developer.picture(frame.image, frame.aspect)

    def interrupt(self) -> None:
        """Nothing: reads end by their own time limit."""

    def close(self) -> None:
        """Hang up; ``open`` may follow."""
        self._frames = iter(())
        if self._film is not None:
            self._film.close()
            self._film = None
