"""Pictures from a phone that runs IP Webcam, over HTTP: MJPEG or single JPEGs.

The HTTP client is the standard library's: it hands out its socket, so that a
blocked read can be interrupted at once, and it follows neither redirects nor
proxies, so that the password goes to the phone and nowhere else.
"""

import base64
import contextlib
import http.client
import json
import logging
import re
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

import cv2
import numpy as np

from liveness.errors import SourceError

CONNECT_TIMEOUT_S = 4.0  # a phone in the same network answers within one
ANSWER_TIMEOUT_S = 5.0  # from the request to the headers of the answer
STATUS_TIMEOUT_S = 2.0  # /status.json is a nicety, nothing waits long for it
MAX_STATUS_BYTES = 1 << 20  # an honest one has about 10 kB
MAX_JPEG_BYTES = 32 << 20  # larger than any frame a phone sends
MAX_POLLS_PER_S = 15  # of /shot.jpg; each one costs the phone a full request
CHUNK_BYTES = 1 << 16
SCHEMES = ("http", "https", "rtsp", "rtsps")
# Where the picture is wide although the phone is set to portrait. Upside down is left
# to the phone and EXIF: nothing in the picture's shape tells whether it was done.
PORTRAIT_TURNS = {
    "portrait": cv2.ROTATE_90_CLOCKWISE,
    "upsidedown_portrait": cv2.ROTATE_90_COUNTERCLOCKWISE,
}
EXPECTED_URL = "expected something like http://192.168.83.33:8080"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Address:
    """A camera's URL taken apart, with the credentials kept out of its name."""

    scheme: str
    host: str
    port: int | None
    target: str  # path and query as they are requested
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The URL without credentials and query: fit for messages and logs."""
        return f"{self.scheme}://{self._authority}{self.target.partition('?')[0]}"

    @property
    def secret_url(self) -> str:
        """The URL with the credentials in it, for FFmpeg; never print it."""
        login = ""
        if self.user is not None:
            login = f"{quote(self.user, '')}:{quote(self.password or '', '')}@"
        return f"{self.scheme}://{login}{self._authority}{self.target}"

    @property
    def headers(self) -> dict[str, str]:
        """Request headers, with Basic authentication where there is a user."""
        if self.user is None:
            return {}
        login = f"{self.user}:{self.password or ''}".encode()
        return {"Authorization": f"Basic {base64.b64encode(login).decode()}"}

    @property
    def _authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


def parse_address(
    url: str, *, user: str | None = None, password: str | None = None
) -> Address:
    """Take a camera's URL apart.

    Args:
        url: http, https, rtsp or rtsps; may carry ``user:password@``.
        user: Name for Basic authentication; wins over the one in the URL.
        password: Its password.

    Raises:
        SourceError: If it is not such a URL; the message holds no credentials.
    """
    shown = url.rpartition("@")[2].partition("?")[0]
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        raise SourceError(f"camera address {shown!r} has a blank: {EXPECTED_URL}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise SourceError(f"bad camera address {shown!r}: {EXPECTED_URL}") from None
    if parts.scheme not in SCHEMES or not host:
        raise SourceError(
            f"bad camera address {shown!r}: {EXPECTED_URL} ({', '.join(SCHEMES)})"
        )
    target = quote(parts.path, "/%:;=,+~@!$&'()*") or "/"
    if parts.query:
        target += "?" + quote(parts.query, "/%:;=,+~@!$&'()*?")
    if user is None and parts.username is not None:
        user = unquote(parts.username)
        password = unquote(parts.password or "") if password is None else password
    return Address(parts.scheme, host, port, target, user, password)


class JpegSplitter:
    """Cuts whole JPEG files out of a stream of bytes, whatever lies between them.

    It follows the segments of each JPEG from its first to its last marker instead
    of trusting boundaries and Content-Length: so a picture is complete as soon as
    its last byte is there, and a truncated one costs no other.

    Source: ITU-T T.81, annex B (structure of the compressed data).
    """

    _START = b"\xff\xd8\xff"
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
            self._drop(end or len(self._START))
        if len(self._data) > MAX_JPEG_BYTES:
            self._drop(len(self._data))
        return pictures

    def _find_start(self) -> bool:
        """Drop what lies before the next picture; False if none has begun."""
        if self._next:
            return True
        start = self._data.find(self._START)
        if start < 0:
            self._drop(max(0, len(self._data) - len(self._START) + 1))
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
    not work. Any other URL is taken as it is: multipart is read as MJPEG, a JPEG
    is asked for again and again.
    """

    fps = None  # the phone does not say

    def __init__(
        self, address: Address, *, timeout_s: float, verify_tls: bool = True
    ) -> None:
        self.name = address.name.rstrip("/")
        self.details = ""
        self._turn: int | None = None  # of a picture that lies on its side
        self._address = address
        self._answer_timeout_s = min(ANSWER_TIMEOUT_S, timeout_s / 2)
        self._tls = _tls_context(verify_tls) if address.scheme == "https" else None
        self._http: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._response: http.client.HTTPResponse | None = None
        self._splitter = JpegSplitter()
        self._grab: Callable[[float], bytes] = self._grab_from_stream
        self._polled = ""  # target of the single pictures
        self._interrupted = False

    def open(self) -> None:
        """Connect; raises SourceError with the reason when that fails."""
        if not self._address.target.endswith("/"):
            self._open_pictures(self._address.target)
            return
        base = self._address.target
        try:
            self._open_pictures(base + "video")
        except _NoPicturesError as video:
            logger.debug("%s; trying shot.jpg", video)
            try:
                self._open_pictures(base + "shot.jpg")
            except _NoPicturesError as shot:
                raise SourceError(f"{video}; {shot}") from shot
        if not self.details:
            size, orientation = self._read_status(base + "status.json")
            self.details = ", ".join(filter(None, (size, orientation)))
            self._turn = PORTRAIT_TURNS.get(orientation)

    def grab(self, stall_s: float) -> bytes:
        """The next whole JPEG; SourceError when none comes for that long."""
        with self._network_errors(self.name, stall_s):
            return self._grab(stall_s)

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
        self._interrupted = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it may be closed by now
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Release the socket; ``open`` may follow. By the thread that reads."""
        for closable in (self._response, self._http):
            if closable is not None:
                closable.close()
        self._response = self._http = self._socket = None
        self._splitter = JpegSplitter()

    def _open_pictures(self, target: str) -> None:
        """Request a target and see by its content type how to read pictures."""
        self.close()
        name = self._name_of(target)
        with self._network_errors(name, self._answer_timeout_s):
            self._connect(min(CONNECT_TIMEOUT_S, self._answer_timeout_s))
            response = self._request(target)
        kind = response.headers.get_content_type()
        if kind.startswith("multipart/"):
            self._grab = self._grab_from_stream
        elif kind == "image/jpeg":
            self._polled, self._grab = target, self._grab_by_polling
        else:
            raise _NoPicturesError(f"{name} sends {kind}, not MJPEG or JPEG")

    def _connect(self, timeout_s: float) -> None:
        place = (self._address.host, self._address.port)
        if self._tls is None:
            self._http = http.client.HTTPConnection(*place, timeout=timeout_s)
        else:
            self._http = http.client.HTTPSConnection(
                *place, timeout=timeout_s, context=self._tls
            )
        self._http.connect()
        self._socket = self._http.sock
        if self._interrupted:  # before there was a socket to shut down
            raise SourceError(f"{self.name}: closed")

    def _request(self, target: str) -> http.client.HTTPResponse:
        """Ask for a target; SourceError unless the answer is 200."""
        self._socket.settimeout(self._answer_timeout_s)
        self._http.request("GET", target, headers=self._address.headers)
        self._response = self._http.getresponse()
        status, name = self._response.status, self._name_of(target)
        if status in (401, 403):
            given = "refused" if self._address.user is not None else "missing"
            raise SourceError(f"{name} answers {status}: user and password {given}")
        if status != 200:
            raise _NoPicturesError(f"{name} answers {status} {self._response.reason}")
        return self._response

    def _grab_from_stream(self, stall_s: float) -> bytes:
        end = time.monotonic() + stall_s
        while True:
            left_s = end - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self._socket.settimeout(left_s)
            chunk = self._response.read1(CHUNK_BYTES)
            if not chunk:
                raise SourceError(f"{self.name}: the stream ended")
            pictures = self._splitter.feed(chunk)
            if pictures:
                return pictures[-1]

    def _grab_by_polling(self, stall_s: float) -> bytes:
        end = time.monotonic() + stall_s
        while time.monotonic() < end:
            began = time.monotonic()
            if self._response is None:
                if self._http.sock is None:  # the phone closes after each answer
                    self._connect(CONNECT_TIMEOUT_S)
                self._request(self._polled)
            body = self._response.read(MAX_JPEG_BYTES)
            self._response.close()
            self._response = None
            pictures = JpegSplitter().feed(body)
            time.sleep(max(0, 1 / MAX_POLLS_PER_S - (time.monotonic() - began)))
            if pictures:
                return pictures[-1]
        raise TimeoutError

    def _read_status(self, target: str) -> tuple[str, str]:
        """Size and orientation as the phone reports them, "" what it does not."""
        limit_s = min(STATUS_TIMEOUT_S, self._answer_timeout_s / 4)
        probe = IpWebcamConnection(self._address, timeout_s=2 * limit_s)
        probe._tls, probe._interrupted = self._tls, self._interrupted
        try:
            with probe._network_errors(probe._name_of(target), limit_s):
                probe._connect(limit_s)
                body = probe._request(target).read(MAX_STATUS_BYTES)
            values = json.loads(body)["curvals"]
            found = [values.get(key) for key in ("video_size", "orientation")]
            size, orientation = (x if isinstance(x, str) else "" for x in found)
            return size, orientation
        except (SourceError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.debug("no status from the phone: %s", type(error).__name__)
            return "", ""
        finally:
            probe.close()

    def _name_of(self, target: str) -> str:
        base = self._address.name.removesuffix(self._address.target.partition("?")[0])
        return base + target.partition("?")[0]

    @contextlib.contextmanager
    def _network_errors(self, name: str, timeout_s: float):
        """Turn what sockets, TLS and HTTP raise into one clear SourceError."""
        try:
            yield
        except TimeoutError as error:
            raise _NoPicturesError(f"{name}: no answer for {timeout_s:g} s") from error
        except ssl.SSLCertVerificationError as error:
            raise SourceError(
                f"{name}: its certificate cannot be verified; use --insecure if "
                "the camera is yours and its certificate self-signed"
            ) from error
        except socket.gaierror as error:
            raise SourceError(f"{name}: unknown host") from error
        except OSError as error:
            raise SourceError(f"{name}: {error.strerror or 'broken'}") from error
        except (http.client.HTTPException, ValueError) as error:
            # http.client's own texts may quote what we must not show.
            raise SourceError(f"{name}: not a valid HTTP answer") from error


class _NoPicturesError(SourceError):
    """This address works but has no pictures; another one may have."""


def _tls_context(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
