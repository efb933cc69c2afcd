"""Read frames from video files, webcams and phones through one interface.

A file returns every frame. A live source returns the newest frame only: a thread
reads continuously and keeps just the last frame, so a slow loop never lags behind.
When a live source breaks off, ``read`` returns ``Waiting`` while the thread
reconnects; it raises only after ``timeout_s`` without a frame.
"""

import logging
import os
import re
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from liveness.errors import SourceError
from liveness.sources.ip_webcam import IpWebcamConnection, parse_address
from liveness.sources.network_stream import RtspConnection
from liveness.sources.source import Frame, FrameSource, Waiting
from liveness.sources.video_file import VideoFile, check_video_file
from liveness.sources.webcam import WebcamConnection, list_cameras

__all__ = [
    "FpsMeter",
    "Frame",
    "FrameSource",
    "LiveSource",
    "VideoFile",
    "Waiting",
    "check_source",
    "list_cameras",
    "open_ip_webcam",
    "open_source",
    "open_webcam",
]

from liveness.constants import DEFAULT_TIMEOUT_S

FIRST_CONNECTION_S = 15.0  # timeout for a source that has never worked
POLL_S = 0.5  # read() returns this often, so that keys and the window respond
LATE_S = 2.0  # without a frame for this long, a source is no longer live
STALL_S = 5.0  # without a frame for this long, the source reconnects ...
STALL_GAPS = 3  # ... or for this many frame intervals, if longer
BACK_OFF_S = (0.2, 0.5, 1.0, 2.0)  # before each attempt; the last one repeats
JOIN_S = 6.0  # longer than an attempt to connect may take
QUIET_S = 10.0  # least time between two log lines about a lost connection

# A URL with a missing or broken scheme: phone:8080, me:word@host, rtsp:/host
ADDRESS_LIKE = re.compile(r".*@|(https?|rtsps?):|[\w.-]+:\d", re.IGNORECASE | re.DOTALL)

logger = logging.getLogger(__name__)


class Connection(Protocol):
    """A camera that a live source reads from; its methods raise SourceError."""

    name: str
    fps: float | None

    def open(self) -> None: ...
    def grab(self, stall_s: float) -> Any: ...
    def decode(self, grabbed: Any) -> np.ndarray | None: ...
    def interrupt(self) -> None: ...
    def close(self) -> None: ...


class LiveSource(FrameSource):
    """The newest frame of a camera whose connection may break and return.

    Args:
        connection: The camera; this source opens and closes it.
        timeout_s: read() raises after this time without a frame.

    Raises:
        SourceError: If the first connection fails. Permanent errors (refused, 401,
            404, wrong type) raise at once, others within ``timeout_s``.
    """

    is_live = True

    def __init__(self, connection: Connection, *, timeout_s: float) -> None:
        self.name = connection.name
        self._connection = connection
        self._timeout_s = timeout_s
        self._stop = threading.Event()
        self._changed = threading.Condition()
        # Shared with the thread, under self._changed:
        self._slot: tuple[Any, int, float] | None = None
        self._connected = False
        self._was_connected = False
        self._crash: BaseException | None = None
        self._problem = "no answer"
        self._received = 0

        self._stall_s = STALL_S
        self._loss_logged, self._logged_at = False, -QUIET_S
        self._opened_at = self._last_at = time.monotonic()
        self._thread = threading.Thread(
            target=self._run, name=f"reader of {self.name}", daemon=True
        )
        self._thread.start()
        self._await_first_connection()

    @property
    def fps(self) -> float | None:
        """Frame rate that the camera states, None if it states none."""
        return self._connection.fps

    @property
    def state(self) -> str:
        since_s = time.monotonic() - self._last_at
        if self._connected and since_s < LATE_S:
            return "live"
        activity = "waiting" if self._connected else "reconnecting"
        return f"{activity}: no picture for {int(since_s)} s"

    def read(self) -> Frame | Waiting:
        """Return the newest frame that was not returned yet; see FrameSource.read."""
        end = time.monotonic() + POLL_S
        while (slot := self._take(end - time.monotonic())) is not None:
            content, index, captured_at = slot
            image = self._connection.decode(content)
            if image is not None:
                self._last_at = captured_at
                return Frame(image, index, captured_at - self._opened_at, captured_at)
            self._problem = "damaged pictures"
        since_s = time.monotonic() - self._last_at
        if since_s >= self._timeout_s:
            raise SourceError(
                f"{self.name}: no picture for {since_s:.0f} s ({self._problem})"
            )
        return Waiting(self.state, since_s)

    def close(self) -> None:
        """Stop the thread and release the camera; it is safe to call this twice."""
        self._stop.set()
        self._connection.interrupt()
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            logger.warning("%s: the camera could not be released", self.name)

    def _take(self, wait_s: float) -> tuple[Any, int, float] | None:
        """Empty the slot, waiting for a frame if necessary; None if none arrived."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._slot is not None or self._crash is not None,
                timeout=max(0, wait_s),
            )
            if self._crash is not None:
                raise self._crash
            content, self._slot = self._slot, None
            return content

    def _await_first_connection(self) -> None:
        limit_s = min(self._timeout_s, FIRST_CONNECTION_S)
        try:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._was_connected or self._crash is not None, limit_s
                )
                if self._crash is not None:
                    raise self._crash
                if not self._was_connected:
                    raise SourceError(f"{self.name}: no answer for {limit_s:g} s")
        except BaseException:  # Ctrl-C must not leave the thread behind either
            self.close()
            raise

    def _run(self) -> None:
        """Connect, read and reconnect in the thread, until the source is closed."""
        tries = 0
        while not self._stop.is_set():
            received = self._received
            try:
                self._connection.open()
                self._note_connected()
                self._receive()
            except SourceError as error:
                if not self._was_connected:
                    self._give_up(error)
                    return
                self._note_lost(error)
            except Exception as error:  # a bug of ours: read() raises it
                self._give_up(error)
                return
            finally:
                self._connection.close()
            if self._received > received:
                tries = 0
            else:  # back off, and allow a slow camera more time
                tries += 1
                self._stall_s = min(2 * self._stall_s, self._timeout_s)
            self._stop.wait(BACK_OFF_S[min(tries, len(BACK_OFF_S) - 1)])

    def _receive(self) -> None:
        """Put each frame into the slot until the source is closed or fails."""
        last = None
        while not self._stop.is_set():
            content = self._connection.grab(self._stall_s)
            now = time.monotonic()
            if last is not None:
                self._stall_s = max(STALL_S, STALL_GAPS * (now - last))
            last = now
            if self._loss_logged:
                logger.info("%s: reconnected", self.name)
                self._loss_logged = False
            with self._changed:
                self._slot = (content, self._received, now)
                self._received += 1
                self._changed.notify_all()

    def _note_connected(self) -> None:
        with self._changed:
            self._connected = self._was_connected = True
            self._changed.notify_all()

    def _note_lost(self, error: SourceError) -> None:
        """Store the reason for read(); log only the first of several failures."""
        if self._stop.is_set():
            return
        now = time.monotonic()
        if not self._loss_logged and now - self._logged_at > QUIET_S:
            logger.warning("%s; reconnecting", error)
            self._loss_logged, self._logged_at = True, now
        with self._changed:
            self._connected = False
            self._problem = str(error).removeprefix(f"{self.name}: ")

    def _give_up(self, error: Exception) -> None:
        with self._changed:
            self._crash = error
            self._changed.notify_all()


class FpsMeter:
    """Frame rate over the last ticks: n ticks span n - 1 intervals."""

    def __init__(self, *, window: int = 30) -> None:
        self._ticks: deque[float] = deque(maxlen=window + 1)

    def tick(self, now_s: float | None = None) -> float:
        """Count a frame at the given time (default: now) and return ``fps``."""
        self._ticks.append(time.monotonic() if now_s is None else now_s)
        return self.fps

    @property
    def fps(self) -> float:
        """Frames per second; 0 before there is an interval."""
        if len(self._ticks) < 2 or self._ticks[-1] <= self._ticks[0]:
            return 0.0
        return (len(self._ticks) - 1) / (self._ticks[-1] - self._ticks[0])


def open_source(
    source: str | int | Path, *, timeout_s: float = DEFAULT_TIMEOUT_S
) -> FrameSource:
    """Open a source: a camera's number or device file, a URL or a video file."""
    text = str(source)
    if text.isdecimal() or text.startswith("/dev/"):
        return open_webcam(int(text) if text.isdecimal() else text, timeout_s=timeout_s)
    if "://" in text:
        return open_ip_webcam(text, timeout_s=timeout_s)
    return VideoFile(source)


def check_source(source: str | int | Path) -> Path | None:
    """Reject, before a model is loaded, what ``open_source`` certainly cannot open.

    Returns:
        The video file; None for a camera.

    Raises:
        SourceError: If a URL is not valid, or a file is missing or not a video.
    """
    text = str(source)
    if text.isdecimal():
        return None
    if text.startswith("/dev/"):
        if not Path(text).exists():
            raise SourceError(
                f"no such camera: '{text}'; --list-cameras lists the cameras"
            )
        return None
    # Unlike Path.exists, this does not raise an error for a name that is too long,
    # which would repeat the name.
    is_address = not os.path.exists(text) and ADDRESS_LIKE.match(text)
    if "://" in text or is_address:
        parse_address(text)
        return None
    check_video_file(Path(source))
    return Path(source)


def open_webcam(
    source: int | str = 0,
    *,
    backend: str = "any",
    size_wh: tuple[int, int] | None = None,
    fps: float | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> LiveSource:
    """Open a webcam.

    Args:
        source: Number or device file of the camera.
        backend: A key of ``webcam.BACKENDS``.
        size_wh: Width and height to request; the driver chooses the nearest.
        fps: Frame rate to request.
        timeout_s: read() raises after this time without a frame.

    Raises:
        SourceError: If the camera does not exist or sends no frames.
    """
    connection = WebcamConnection(source, backend=backend, size_wh=size_wh, fps=fps)
    return LiveSource(connection, timeout_s=timeout_s)


def open_ip_webcam(
    url: str,
    *,
    user: str | None = None,
    password: str | None = None,
    verify_tls: bool = True,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> LiveSource:
    """Open a phone that runs IP Webcam, or another network camera.

    Args:
        url: http(s)://host:port, optionally with the path of an MJPEG stream or a
            JPEG, or an rtsp(s) URL; it may contain ``user:password@``.
        user: Login name; overrides the one in the URL.
        password: Password of the user.
        verify_tls: Whether to verify the certificate; False accepts a self-signed one.
        timeout_s: read() raises after this time without a frame.

    Raises:
        SourceError: If the URL is not valid or the first connection fails; the
            message never contains the credentials.
    """
    address = parse_address(url, user=user, password=password)
    if address.scheme.startswith("rtsp"):
        limit_s = min(timeout_s, STALL_S)
        connection = RtspConnection(address.name, address.secret_url, timeout_s=limit_s)
    else:
        connection = IpWebcamConnection(
            address, timeout_s=timeout_s, verify_tls=verify_tls
        )
    return LiveSource(connection, timeout_s=timeout_s)
