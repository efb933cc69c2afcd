"""Where pictures come from: video files, webcams and phones, read in one way.

A file gives every frame. A live source gives the newest picture only: a thread
reads all the time and keeps just the last one, so a slow loop never works on old
pictures. When a live source breaks off, ``read`` returns ``Waiting`` while the
thread connects again and again; only after ``timeout_s`` without a picture does
it raise.
"""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from liveness.developing import Developer
from liveness.errors import SourceError
from liveness.ffmpeg import av
from liveness.film import Film, FilmFrame
from liveness.ip_webcam import IpWebcamConnection, parse_address
from liveness.network_stream import RtspConnection
from liveness.webcam import WebcamConnection, list_cameras

__all__ = [
    "FpsMeter",
    "Frame",
    "FrameSource",
    "LiveSource",
    "VideoFile",
    "Waiting",
    "list_cameras",
    "open_ip_webcam",
    "open_source",
    "open_webcam",
]

DEFAULT_TIMEOUT_S = 60.0  # a phone that is gone for half a minute is forgiven
FIRST_CONNECTION_S = 15.0  # at most, for a source that has never worked
POLL_S = 0.5  # read() comes back this often, so that keys and the window work
LATE_S = 2.0  # without a picture for that long a source no longer counts as live
STALL_S = 5.0  # without a picture for that long a connection is made anew
STALL_GAPS = 3  # ... or this many times the gap between two pictures, if longer
BACK_OFF_S = (0.2, 0.5, 1.0, 2.0)  # before each try to connect; the last one stays
JOIN_S = 6.0  # longer than connecting may take
QUIET_S = 10.0  # a connection that keeps breaking is logged no more often
MIN_COMPLETE_SHARE = 0.9  # of the time a file promises; less: it is damaged ...
LAST_GAPS = 3  # ... but for a last picture that long, in gaps between two pictures
SNIFF_BYTES = 1024

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Frame:
    """One picture and when it was taken."""

    image: np.ndarray  # (H, W, 3) uint8, BGR
    index: int  # counts what the source sent, from 0; live: gaps were skipped
    time_s: float  # position in a file; seconds since opening when live
    captured_at: float  # time.monotonic() when it was received


@dataclass(frozen=True)
class Waiting:
    """What a live source returns instead of a frame while it has none."""

    state: str
    since_s: float  # how long there has been no picture


class FrameSource(ABC):
    """Frames one after another; a context manager that releases what it opened."""

    name: str
    is_live: bool
    fps: float | None

    @property
    @abstractmethod
    def state(self) -> str:
        """``live``, or what is wrong, in words for the picture."""

    @abstractmethod
    def read(self) -> Frame | Waiting | None:
        """The next frame (file) or the newest one not returned yet (live).

        Returns:
            A frame; None at the end of a file; Waiting, after half a second at
            most, while a live source has no new picture.

        Raises:
            SourceError: If a live source gave no picture for ``timeout_s``.
        """

    @abstractmethod
    def close(self) -> None:
        """Release camera, sockets and thread; may be called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
        _check_video_file(self.path)
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


class Connection(Protocol):
    """What a live source reads from; a failing method raises SourceError."""

    name: str
    fps: float | None
    details: str

    def open(self) -> None: ...
    def grab(self, stall_s: float) -> Any: ...
    def decode(self, grabbed: Any) -> np.ndarray | None: ...
    def interrupt(self) -> None: ...
    def close(self) -> None: ...


class LiveSource(FrameSource):
    """The newest picture of a camera that may go away and come back.

    Args:
        connection: The camera; this source opens and closes it.
        timeout_s: How long the source may give no picture before read() raises.

    Raises:
        SourceError: If the first connection fails: at once for what waiting does
            not cure (refused, 401, 404, wrong type), else within ``timeout_s``.
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
        """Frames per second that the camera promises, None if it does not."""
        return self._connection.fps

    @property
    def details(self) -> str:
        """What the camera says about itself (size, orientation), or ""."""
        return self._connection.details

    @property
    def newest_index(self) -> int:
        """Index of the newest picture received; minus a frame's own: its lag."""
        return self._received - 1

    @property
    def state(self) -> str:
        since_s = time.monotonic() - self._last_at
        if self._connected and since_s < LATE_S:
            return "live"
        doing = "waiting" if self._connected else "reconnecting"
        return f"{doing}: no picture for {int(since_s)} s"

    def read(self) -> Frame | Waiting:
        """The newest picture not returned yet; see FrameSource.read."""
        end = time.monotonic() + POLL_S
        while (grabbed := self._take(end - time.monotonic())) is not None:
            content, index, captured_at = grabbed
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
        """Stop the thread, which releases the camera; may be called again."""
        self._stop.set()
        self._connection.interrupt()
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            logger.warning("%s still holds its camera", self.name)

    def _take(self, wait_s: float) -> tuple[Any, int, float] | None:
        """Empty the slot, waiting for it if need be; None if nothing came."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._slot is not None or self._crash is not None,
                timeout=max(0, wait_s),
            )
            if self._crash is not None:
                raise self._crash
            grabbed, self._slot = self._slot, None
            return grabbed

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
        except BaseException:  # Ctrl-C too must not leave the thread behind
            self.close()
            raise

    def _run(self) -> None:
        """The thread: connect, read, and connect again until closed."""
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
            except Exception as error:  # a fault of ours: read() raises it
                self._give_up(error)
                return
            finally:
                self._connection.close()
            if self._received > received:
                tries = 0
            else:  # back off, and be more patient with a slow camera
                tries += 1
                self._stall_s = min(2 * self._stall_s, self._timeout_s)
            self._stop.wait(BACK_OFF_S[min(tries, len(BACK_OFF_S) - 1)])

    def _receive(self) -> None:
        """Put each picture into the slot, until closed or SourceError."""
        before = None
        while not self._stop.is_set():
            content = self._connection.grab(self._stall_s)
            now = time.monotonic()
            if before is not None:
                self._stall_s = max(STALL_S, STALL_GAPS * (now - before))
            before = now
            if self._loss_logged:
                logger.info("%s: pictures again", self.name)
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
        """Keep the reason for read() and log the first of a row of failures."""
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
    """Frames per second over the last ticks: n ticks span n - 1 intervals."""

    def __init__(self, *, window: int = 30) -> None:
        self._ticks: deque[float] = deque(maxlen=window + 1)

    def tick(self, now_s: float | None = None) -> float:
        """Count a frame at a time (default: now); returns ``fps``."""
        self._ticks.append(time.monotonic() if now_s is None else now_s)
        return self.fps

    @property
    def fps(self) -> float:
        """The rate, 0 while there is no interval yet."""
        if len(self._ticks) < 2 or self._ticks[-1] <= self._ticks[0]:
            return 0.0
        return (len(self._ticks) - 1) / (self._ticks[-1] - self._ticks[0])


def open_source(
    source: str | int | Path, *, timeout_s: float = DEFAULT_TIMEOUT_S
) -> FrameSource:
    """Open what the words mean: a camera's number or device, a URL, a video file."""
    text = str(source)
    if text.isdecimal() or text.startswith("/dev/"):
        return open_webcam(int(text) if text.isdecimal() else text, timeout_s=timeout_s)
    if "://" in text:
        return open_ip_webcam(text, timeout_s=timeout_s)
    return VideoFile(source)


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
        source: Its number, or its device file.
        backend: A key of ``webcam.BACKENDS``.
        size_wh: Width and height to ask for; the driver takes the nearest.
        fps: Rate to ask for.
        timeout_s: How long it may give no picture before read() raises.

    Raises:
        SourceError: If there is no such camera or it gives no picture.
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
        url: http(s)://host:port, the same with the path of an MJPEG stream or a
            JPEG, or an rtsp(s) URL; may carry ``user:password@``.
        user: Name for Basic authentication; wins over the one in the URL.
        password: Its password.
        verify_tls: False accepts any certificate, such as a self-signed one.
        timeout_s: How long it may give no picture before read() raises.

    Raises:
        SourceError: If the URL is bad or the first connection fails; no message
            holds the credentials.
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


def _check_video_file(path: Path) -> None:
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
