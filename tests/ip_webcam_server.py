"""A stand-in for a phone that runs IP Webcam, with faults on demand."""

import base64
import hashlib
import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

BOUNDARY = "Ba4oTvQMY8ew04N8dcnM"
BITS = 16  # a frame's number is drawn as so many black and white columns


def draw_numbered(number: int, *, width_px: int = 160, height_px: int = 120):
    """(H, W, 3) uint8 picture from which ``read_number`` reads the number."""
    bits = [(number >> bit) & 1 for bit in range(BITS)]
    row = np.repeat(np.array(bits, np.uint8) * 255, -(-width_px // BITS))[:width_px]
    return np.repeat(np.tile(row, (height_px, 1))[:, :, None], 3, axis=2)


def read_number(image: np.ndarray) -> int:
    """The number that ``draw_numbered`` drew."""
    step = -(-image.shape[1] // BITS)
    row = image[image.shape[0] // 2, step // 2 :: step, 0] > 127
    return sum(int(bit) << place for place, bit in enumerate(row))


def encode(image: np.ndarray) -> bytes:
    """The picture as a JPEG file."""
    return cv2.imencode(".jpg", image)[1].tobytes()


class FakePhone:
    """IP Webcam on 127.0.0.1: /video, /shot.jpg and /status.json.

    Args:
        fps: Frames per second of /video.
        login: ``(user, password)`` that requests must carry, if any.
        script: Per number of the connection to /video (the last one stays), a
            function that takes the frame's number and returns the bytes to send:
            None ends the connection, b"" sends nothing. Default: a good part.
        kind: How the login is asked for: "Basic", "Digest", "Digest SHA-256", or None
            for an answer 401 that does not say.
        video: Status of /video (200 works), or "html", "silent", "drip", or a function
            that answers with the request's handler.
        shot: The same for /shot.jpg, or "truncated" for every other one.
        status: The same for /status.json.
        orientation: What /status.json says of it.
        tls: An ssl.SSLContext for https.
    """

    def __init__(
        self,
        *,
        fps=50.0,
        login=None,
        kind=None,
        script=(),
        video=200,
        shot=200,
        status=200,
        orientation="landscape",
        tls=None,
        port=0,
    ):
        self.fps, self.login, self.script = fps, login, list(script)
        self.kind = kind
        self.orientation = orientation
        self.answers = {"/video": video, "/shot.jpg": shot, "/status.json": status}
        self.sent = -1  # number of the newest frame sent to anybody
        self.requests: list[str] = []
        self.logins: list[str] = []  # the Authorization headers that came
        self.nonce = "n0"  # of Digest; another one makes the old one stale
        self.connections = 0
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        phone = self

        class Handler(_Handler):
            owner = phone

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="fake phone"
        )
        self._thread.start()
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Vanish: all connections break off and the port is free again."""
        self._closing.set()
        self._server.shutdown()
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._server.server_close()
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def part(number: int, jpeg: bytes | None = None) -> bytes:
    """One part of the multipart stream, as IP Webcam sends it."""
    jpeg = encode(draw_numbered(number)) if jpeg is None else jpeg
    head = f"\r\n--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
    return head.encode() + f"Content-Length: {len(jpeg)}\r\n\r\n".encode() + jpeg


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FakePhone

    def log_message(self, *_):
        pass

    def handle(self):
        self.owner._open.add(self.connection)
        try:
            super().handle()
        except (OSError, ValueError):  # the reader went away
            pass
        finally:
            self.owner._open.discard(self.connection)

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.owner.requests.append(self.path)
        answer = self.owner.answers.get(path, 404)
        given = self.headers["Authorization"]
        self.owner.logins += [given] if given else []
        if self.owner.login is not None and not self._is_login(given or ""):
            answer = 401
        if callable(answer):
            answer(self)
        elif answer == "silent":
            self.owner._closing.wait()
        elif answer == "drip":
            self._drip()
        elif answer == "html":
            self._send(200, "text/html", b"<html>hello</html>")
        elif isinstance(answer, int) and answer != 200:
            self._send(answer, "text/plain", b"no")
        elif path == "/video":
            self._stream()
        elif path == "/shot.jpg":
            self.owner.sent += 1
            jpeg = encode(draw_numbered(self.owner.sent))
            cut = answer == "truncated" and self.owner.sent % 2
            self._send(200, "image/jpeg", jpeg[: len(jpeg) // 2] if cut else jpeg)
        else:
            values = {"video_size": "160x120", "orientation": self.owner.orientation}
            body = json.dumps({"curvals": values}).encode()
            self._send(200, "application/json", body)

    def _is_login(self, given: str) -> bool:
        """Whether an Authorization header is the right one (RFC 7616, qop=auth)."""
        kind, (user, password) = self.owner.kind or "Basic", self.owner.login
        if kind == "Basic":
            login = base64.b64encode(f"{user}:{password}".encode()).decode()
            return given == f"Basic {login}"
        fields = dict(re.findall(r'(\w+)="?([^",]*)"?', given.removeprefix("Digest ")))
        name = "sha256" if "SHA-256" in kind else "md5"

        def digest(*parts: str) -> str:
            return hashlib.new(name, ":".join(parts).encode()).hexdigest()

        response = digest(
            digest(user, "cam, 1", password),
            self.owner.nonce,
            fields.get("nc", ""),
            fields.get("cnonce", ""),
            "auth",
            digest("GET", self.path),
        )
        return given.startswith("Digest ") and fields.get("response") == response

    def _demand(self) -> str:
        """What asks for the login."""
        if "Digest" not in self.owner.kind:
            return f'{self.owner.kind} realm="cam"'
        algorithm = self.owner.kind.partition(" ")[2] or "MD5"
        return (
            f'Digest realm="cam, 1", qop="auth,auth-int", nonce="{self.owner.nonce}", '
            f'algorithm={algorithm}, Basic realm="cam"'
        )

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        if status == 401 and self.owner.kind:
            self.send_header("WWW-Authenticate", self._demand())
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        """One byte of a header now and then: each read succeeds, for ever."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self.owner._closing.wait(0.05):
            self.wfile.write(b"x")

    def _stream(self) -> None:
        owner = self.owner
        scripts = owner.script
        send = scripts[min(owner.connections, len(scripts) - 1)] if scripts else part
        owner.connections += 1
        self.close_connection = True
        self.send_response(200)
        kind = f"multipart/x-mixed-replace;boundary={BOUNDARY}"
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        self.end_headers()
        next_at = time.monotonic()
        while not owner._closing.is_set():
            number = owner.sent + 1
            data = send(number)
            if data is None:
                return
            owner.sent = number
            if data:
                self.wfile.write(data)
            next_at += 1 / owner.fps
            owner._closing.wait(max(0, next_at - time.monotonic()))
