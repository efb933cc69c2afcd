"""Pictures from a phone that runs IP Webcam, over HTTP: MJPEG or single JPEGs."""

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

CONNECT_TIMEOUT_S = 4.0  # a phone in the same network answers within one
ANSWER_TIMEOUT_S = 5.0  # from the request to the headers of the answer
STATUS_TIMEOUT_S = 2.0  # /status.json is a nicety, nothing waits long for it
MAX_STATUS_BYTES = 1 << 20  # an honest one has about 10 kB
MAX_JPEG_BYTES = 32 << 20  # larger than any frame a phone sends
MAX_HEAD_BYTES = 1 << 12  # in which the first picture of a camera begins
MAX_POLLS_PER_S = 15  # of /shot.jpg; each one costs the phone a full request
JPEG_START = b"\xff\xd8\xff"
JPEG_TYPES = ("image/jpeg", "image/jpg", "image/pjpeg")
VAGUE_TYPES = (  # that cameras give to MJPEG and to JPEG; the first bytes tell
    *("", "application/octet-stream", "binary/octet-stream", "text/plain"),
    *("video/mjpeg", "video/x-mjpeg", "video/x-motion-jpeg", "image/mjpeg"),
)
# Where the picture is wide although the phone is set to portrait. Upside down is left
# to the phone and EXIF: nothing in the picture's shape tells whether it was done.
PORTRAIT_TURNS = {
    "portrait": cv2.ROTATE_90_CLOCKWISE,
    "upsidedown_portrait": cv2.ROTATE_90_COUNTERCLOCKWISE,
}

logger = logging.getLogger(__name__)


class JpegSplitter:
    """Cuts whole JPEG files out of a stream of bytes, whatever lies between them.

    It follows the segments of each JPEG from its first to its last marker instead
    of trusting boundaries and Content-Length: so a picture is complete as soon as
    its last byte is there, and a truncated one costs no other.

    Source: ITU-T T.81, annex B (structure of the compressed data).
    """

    # In the entropy coded data 0xff is followed by 0 (stuffing), by 0xd0 to 0xd7
    # (restart) or by another 0xff (fill); anything else is the next marker.
    _MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

    def __init__(self) -> None:
        self._data = bytearray()
        self._next = 0  # where the walk through the current picture goes on
        self._in_scan = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Add bytes from the stream; returns the pictures they completed."""
        self._data += chunk
        pictures = []
        while self._find_start():
            end = self._walk()
            if end is None:
                break
            if end > 0:
                pictures.append(bytes(self._data[:end]))
            # A picture that breaks off hides the next one: look inside it.
            self._drop(end or len(JPEG_START))
        if len(self._data) > MAX_JPEG_BYTES:
            self._drop(len(self._data))
        return pictures

    def _find_start(self) -> bool:
        """Drop what lies before the next picture; False if none has begun."""
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
        """End of the picture, 0 if it is broken, None if more bytes are needed."""
        data = self._data
        while True:
            if self._in_scan:
                found = self._MARKER.search(data, self._next)
                if found is None:
                    self._next = max(self._next, len(data) - 1)
                    return None
                self._next, self._in_scan = found.start(), False
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

    A URL without a path means an IP Webcam: /video, and /shot.jpg where that does
    not work. Any other URL is taken as it is: what goes on is read as MJPEG, a
    single JPEG is asked for again and again.
    """

    fps = None  # the phone does not say

    def __init__(
        self, address: Address, *, timeout_s: float, verify_tls: bool = True
    ) -> None:
        self.name = address.name.rstrip("/")
        self.details = ""
        self._turn: int | None = None  # of a picture that lies on its side
        self._address = address
        self._verify_tls = verify_tls
        self._answer_timeout_s = min(ANSWER_TIMEOUT_S, timeout_s / 2)
        self._http = CameraHttp(address, verify_tls=verify_tls)
        self._splitter = JpegSplitter()
        self._grab: Callable[[float], bytes] = self._grab_from_stream
        self._target = ""  # of the pictures
        self._head = b""  # what was read of an answer to see what it is
        self._received = 0  # pictures of this answer
        self._is_multipart = self._is_asked = False

    def open(self) -> None:
        """Connect; raises SourceError with the reason when that fails."""
        if not self._address.target.endswith("/"):
            self._open_pictures(self._address.target)
            return
        base = self._address.target
        try:
            self._open_pictures(base + "video")
        except NoPicturesError as video:
            logger.debug("%s; trying shot.jpg", video)
            try:
                self._open_pictures(base + "shot.jpg")
            except NoPicturesError as shot:
                advice = "no IP Webcam? Give the address of its MJPEG, JPEG or RTSP"
                raise SourceError(f"{video}; {shot}; {advice}") from shot
        if not self.details:
            size, orientation = self._read_status(base + "status.json")
            self.details = ", ".join(filter(None, (size, orientation)))
            self._turn = PORTRAIT_TURNS.get(orientation)

    def grab(self, stall_s: float) -> bytes:
        """The next whole JPEG; SourceError when none comes for that long."""
        with self._http.errors(self.name, stall_s):
            return self._grab(time.monotonic() + stall_s)

    def decode(self, jpeg: bytes) -> np.ndarray | None:
        """(H, W, 3) uint8 BGR, or None if the JPEG is damaged.

        It is upright as its EXIF data say; and a wide one of a phone that says it is
        set to portrait is turned.
        """
        try:
            image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            return None
        if image is None or self._turn is None or image.shape[0] >= image.shape[1]:
            return image
        return cv2.rotate(image, self._turn)

    def interrupt(self) -> None:
        """End what another thread is doing with this connection, for good."""
        self._http.interrupt()

    def close(self) -> None:
        """Release the socket; ``open`` may follow. By the thread that reads."""
        self._http.close()
        self._splitter, self._received = JpegSplitter(), 0

    def _open_pictures(self, target: str) -> None:
        """Ask for a path and see by its content type how to read pictures."""
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
        """Ask for the pictures; returns the content type."""
        limit_s = self._answer_timeout_s
        kind = self._http.ask(self._target, connect_s=connect_s, answer_s=limit_s)
        self._is_asked = True
        return kind

    def _look_inside(self, kind: str, end: float) -> None:
        """See whether what has no telling content type begins with a JPEG."""
        name = self._address.name_of(self._target)
        shown = "".join(sign if " " < sign < "\x7f" else "?" for sign in kind[:60])
        if kind not in VAGUE_TYPES and "/" in kind:
            advice = "give the address of the camera's MJPEG, JPEG or RTSP"
            if kind == "text/html":
                advice = "open it in a browser to see what it says"
            raise NoPicturesError(f"{name} sends {shown}, not MJPEG or JPEG: {advice}")
        while JPEG_START not in self._head and len(self._head) < MAX_HEAD_BYTES:
            chunk = self._http.read(end)
            if not chunk:
                break
            self._head += chunk
        if JPEG_START not in self._head:
            raise NoPicturesError(
                f"{name} sends {shown or 'no content type'}, and neither MJPEG nor "
                "JPEG: open it in a browser to see what it is"
            )

    def _next_chunk(self, end: float) -> bytes:
        """The next bytes of the answer, b"" at its end."""
        chunk, self._head = self._head, b""
        return chunk or self._http.read(end)

    def _grab_from_stream(self, end: float) -> bytes:
        while True:
            chunk = self._next_chunk(end)
            if not chunk and self._received == 1 and not self._is_multipart:
                self._is_asked, self._grab = False, self._grab_by_asking
                return self._grab(end)  # it was one picture, without its length
            if not chunk:
                raise SourceError(f"{self.name}: the stream ended")
            pictures = self._splitter.feed(chunk)
            self._received += len(pictures)
            if pictures:
                return pictures[-1]

    def _grab_by_asking(self, end: float) -> bytes:
        while time.monotonic() < end:
            began = time.monotonic()
            if not self._is_asked:
                self._ask(CONNECT_TIMEOUT_S)
            body = bytearray()
            while len(body) < MAX_JPEG_BYTES and (chunk := self._next_chunk(end)):
                body += chunk
            self._http.finish()
            self._is_asked = False
            pictures = JpegSplitter().feed(bytes(body))
            time.sleep(max(0, 1 / MAX_POLLS_PER_S - (time.monotonic() - began)))
            if pictures:
                return pictures[-1]
        raise TimeoutError

    def _read_status(self, target: str) -> tuple[str, str]:
        """Size and orientation as the phone reports them, "" what it does not."""
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
            values = json.loads(body)["curvals"]
            found = [values.get(key) for key in ("video_size", "orientation")]
            size, orientation = (x if isinstance(x, str) else "" for x in found)
            return size, orientation
        except (SourceError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.debug("no status from the phone: %s", type(error).__name__)
            return "", ""
        finally:
            http.close()
