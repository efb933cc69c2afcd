"""Read MJPEG or single JPEGs over HTTP, e.g. from a phone that runs IP Webcam."""

import json
import logging
import re
import time
from collections.abc import Callable

import cv2
import numpy as np

from liveness.errors import SourceError
from liveness.sources.camera_address import Address, parse_address
from liveness.sources.camera_http import CameraHttp, NoPicturesError

__all__ = ["Address", "IpWebcamConnection", "JpegSplitter", "parse_address"]

CONNECT_TIMEOUT_S = 4.0  # a phone in the same network answers within one second
ANSWER_TIMEOUT_S = 5.0  # from the request to the headers of the response
STATUS_TIMEOUT_S = 2.0  # /status.json is optional, so the wait is short
MAX_STATUS_BYTES = 1 << 20  # a real one has about 10 kB
MAX_JPEG_BYTES = 32 << 20  # larger than any frame of a phone
MAX_HEAD_BYTES = 1 << 12  # the first picture starts within these bytes
MAX_POLLS_PER_S = 15  # requests of /shot.jpg; each one costs the phone a full request
JPEG_START = b"\xff\xd8\xff"
JPEG_TYPES = ("image/jpeg", "image/jpg", "image/pjpeg")
VAGUE_TYPES = (  # used by cameras for MJPEG and for JPEG; the first bytes decide
    *("", "application/octet-stream", "binary/octet-stream", "text/plain"),
    *("video/mjpeg", "video/x-mjpeg", "video/x-motion-jpeg", "image/mjpeg"),
)
# Rotations for a landscape picture of a phone that is set to portrait. Upside-down
# pictures are left to the phone and EXIF: their shape does not reveal the rotation.
PORTRAIT_TURNS = {
    "portrait": cv2.ROTATE_90_CLOCKWISE,
    "upsidedown_portrait": cv2.ROTATE_90_COUNTERCLOCKWISE,
}

logger = logging.getLogger(__name__)


class JpegSplitter:
    """Extract complete JPEG files from a byte stream, whatever lies between them.

    It parses the segments of each JPEG from the first to the last marker instead of
    relying on boundaries and Content-Length. So a picture is complete as soon as its
    last byte arrives, and a truncated picture does not affect the next one.

    Source: ITU-T T.81, annex B (structure of the compressed data).
    """

    # In entropy-coded data 0xff is followed by 0 (stuffing), by 0xd0 to 0xd7
    # (restart) or by another 0xff (fill). Anything else is the next marker.
    _MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

    def __init__(self) -> None:
        self._data = bytearray()
        self._next = 0  # where parsing of the current picture continues
        self._in_scan = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Add bytes from the stream and return the pictures that are now complete."""
        self._data += chunk
        pictures = []
        while self._find_start():
            end = self._walk()
            if end is None:
                break
            if end > 0:
                pictures.append(bytes(self._data[:end]))
            # The next picture may start inside a truncated one.
            self._drop(end or len(JPEG_START))
        if len(self._data) > MAX_JPEG_BYTES:
            self._drop(len(self._data))
        return pictures

    def _find_start(self) -> bool:
        """Drop the bytes before the next picture; False if none has started."""
        if self._next:
            return True
        start = self._data.find(JPEG_START)
        if start < 0:
            self._drop(max(0, len(self._data) - len(JPEG_START) + 1))
            return False
        self._drop(start)
        self._next = 2
        return True

    def _walk(self) -> int | None:
        """Find the end of the picture; 0 if it is damaged, None if it goes on."""
        data = self._data
        while True:
            if self._in_scan:
                match = self._MARKER.search(data, self._next)
                if match is None:
                    self._next = max(self._next, len(data) - 1)
                    return None
                self._next, self._in_scan = match.start(), False
            if len(data) < self._next + 4:
                if data[self._next : self._next + 2] == b"\xff\xd9":
                    return self._next + 2
                return None
            marker, kind = data[self._next], data[self._next + 1]
            if marker == 0xFF and kind == 0xD9:
                return self._next + 2
            length = int.from_bytes(data[self._next + 2 : self._next + 4])
            if marker != 0xFF or kind < 0xC0 or 0xD0 <= kind <= 0xD8 or length < 2:
                return 0
            self._next += 2 + length
            self._in_scan = kind == 0xDA

    def _drop(self, count: int) -> None:
        del self._data[:count]
        self._next, self._in_scan = 0, False


class IpWebcamConnection:
    """One camera over HTTP, for ``frames.LiveSource``: open, grab, decode, close.

    A URL without a path means IP Webcam: /video is read, or /shot.jpg if that fails.
    Any other URL is used unchanged: a stream is read as MJPEG, and a single JPEG is
    requested repeatedly.
    """

    fps = None  # the phone does not state it

    def __init__(
        self, address: Address, *, timeout_s: float, verify_tls: bool = True
    ) -> None:
        self.name = address.name.rstrip("/")
        self._orientation = ""  # as the phone reports it
        self._turn: int | None = None  # rotation of a picture that lies on its side
        self._address = address
        self._verify_tls = verify_tls
        self._answer_timeout_s = min(ANSWER_TIMEOUT_S, timeout_s / 2)
        self._http = CameraHttp(address, verify_tls=verify_tls)
        self._splitter = JpegSplitter()
        self._grab: Callable[[float], bytes] = self._grab_from_stream
        self._target = ""  # path of the pictures
        self._head = b""  # start of a response, read to find out its type
        self._received = 0  # pictures in this response
        self._is_multipart = self._is_asked = False

    def open(self) -> None:
        """Connect; raise SourceError with the reason if that fails."""
        if not self._address.target.endswith("/"):
            self._open_pictures(self._address.target)
            return
        base = self._address.target
        try:
            self._open_pictures(base + "video")
        except NoPicturesError as video_error:
            logger.debug("%s; trying shot.jpg", video_error)
            try:
                self._open_pictures(base + "shot.jpg")
            except NoPicturesError as shot_error:
                advice = "if this is not IP Webcam, give its MJPEG, JPEG or RTSP URL"
                raise SourceError(
                    f"{video_error}; {shot_error}; {advice}"
                ) from shot_error
        if not self._orientation:
            self._orientation = self._read_orientation(base + "status.json")
            self._turn = PORTRAIT_TURNS.get(self._orientation)

    def grab(self, stall_s: float) -> bytes:
        """Return the next complete JPEG; SourceError if none arrives in that time."""
        with self._http.errors(self.name, stall_s):
            return self._grab(time.monotonic() + stall_s)

    def decode(self, jpeg: bytes) -> np.ndarray | None:
        """Decode a JPEG to (H, W, 3) uint8 BGR, or None if it is damaged.

        The EXIF orientation is applied. A landscape picture is rotated if the phone
        reports that it is set to portrait.
        """
        try:
            image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            return None
        if image is None or self._turn is None or image.shape[0] >= image.shape[1]:
            return image
        return cv2.rotate(image, self._turn)

    def interrupt(self) -> None:
        """Abort what another thread is doing with this connection, for good."""
        self._http.interrupt()

    def close(self) -> None:
        """Release the socket; ``open`` may follow. Call it from the reading thread."""
        self._http.close()
        self._splitter, self._received = JpegSplitter(), 0

    def _open_pictures(self, target: str) -> None:
        """Request a path and choose from its content type how to read pictures."""
        self.close()
        limit_s = self._answer_timeout_s
        self._target, self._head = target, b""
        with self._http.errors(self._address.name_of(target), limit_s):
            kind = self._ask(min(CONNECT_TIMEOUT_S, limit_s))
            plain = kind.partition(";")[0].strip().lower()
            self._is_multipart = plain.startswith("multipart/")
            if not self._is_multipart and plain not in JPEG_TYPES:
                self._look_inside(plain, time.monotonic() + limit_s)
        is_single = not self._is_multipart and self._http.length is not None
        self._grab = self._grab_by_asking if is_single else self._grab_from_stream

    def _ask(self, connect_s: float) -> str:
        """Request the pictures and return the content type."""
        limit_s = self._answer_timeout_s
        kind = self._http.ask(self._target, connect_s=connect_s, answer_s=limit_s)
        self._is_asked = True
        return kind

    def _look_inside(self, kind: str, end: float) -> None:
        """Check whether a response of unclear content type starts with a JPEG."""
        name = self._address.name_of(self._target)
        printable = "".join(c if " " < c < "\x7f" else "?" for c in kind[:60])
        if kind not in VAGUE_TYPES and "/" in kind:
            advice = "give the camera's MJPEG, JPEG or RTSP URL"
            if kind == "text/html":
                advice = "open it in a browser to see what it says"
            raise NoPicturesError(
                f"{name} sends {printable}, not MJPEG or JPEG: {advice}"
            )
        while JPEG_START not in self._head and len(self._head) < MAX_HEAD_BYTES:
            chunk = self._http.read(end)
            if not chunk:
                break
            self._head += chunk
        if JPEG_START not in self._head:
            raise NoPicturesError(
                f"{name} sends {printable or 'no content type'}, and neither MJPEG nor "
                "JPEG: open it in a browser to see what it is"
            )

    def _next_chunk(self, end: float) -> bytes:
        """Return the next bytes of the response, b"" at its end."""
        chunk, self._head = self._head, b""
        return chunk or self._http.read(end)

    def _grab_from_stream(self, end: float) -> bytes:
        """Return the newest complete JPEG of the stream."""
        while True:
            chunk = self._next_chunk(end)
            if not chunk and self._received == 1 and not self._is_multipart:
                self._is_asked, self._grab = False, self._grab_by_asking
                return self._grab(end)  # a single picture without Content-Length
            if not chunk:
                raise SourceError(f"{self.name}: the stream ended")
            pictures = self._splitter.feed(chunk)
            self._received += len(pictures)
            if pictures:
                return pictures[-1]

    def _grab_by_asking(self, end: float) -> bytes:
        """Request a single JPEG."""
        while time.monotonic() < end:
            start = time.monotonic()
            if not self._is_asked:
                self._ask(CONNECT_TIMEOUT_S)
            body = bytearray()
            while len(body) < MAX_JPEG_BYTES and (chunk := self._next_chunk(end)):
                body += chunk
            self._http.finish()
            self._is_asked = False
            pictures = JpegSplitter().feed(bytes(body))
            time.sleep(max(0, 1 / MAX_POLLS_PER_S - (time.monotonic() - start)))
            if pictures:
                return pictures[-1]
        raise TimeoutError

    def _read_orientation(self, target: str) -> str:
        """Read the orientation that the phone reports; "" if it reports none."""
        limit_s = min(STATUS_TIMEOUT_S, self._answer_timeout_s / 4)
        http = CameraHttp(
            self._address, verify_tls=self._verify_tls, login=self._http.login
        )
        try:
            with http.errors(self.name, limit_s):
                http.ask(target, connect_s=limit_s, answer_s=limit_s)
                body, end = b"", time.monotonic() + limit_s
                while len(body) < MAX_STATUS_BYTES and (chunk := http.read(end)):
                    body += chunk
            orientation = json.loads(body)["curvals"].get("orientation")
            return orientation if isinstance(orientation, str) else ""
        except (SourceError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.debug("cannot read status.json: %s", type(error).__name__)
            return ""
        finally:
            http.close()
