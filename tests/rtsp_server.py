"""A camera that streams over RTSP on 127.0.0.1: an MPEG transport stream over TCP."""

import socket
import struct
import threading
import time

TS_BYTES = 188
PACKETS_AT_A_TIME = 7  # as RFC 2250 has it
SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=film\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 33\r\na=control:trackID=0\r\n"
)


class RtspCamera:
    """Streams the bytes of a transport stream to each client, then hangs up.

    Args:
        stream: What is sent to a client.
        seconds: How long sending takes.
    """

    def __init__(self, stream: bytes, *, seconds: float) -> None:
        self._stream, self._seconds = stream, seconds
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://me:s3cret@127.0.0.1:{self._server.getsockname()[1]}/live"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "RtspCamera":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:  # closed
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                while self._answer(client) != "PLAY":
                    pass
                self._send_film(client)
            except OSError:  # the client went away
                pass

    def _answer(self, client: socket.socket) -> str:
        """Answer one request; returns its method."""
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            data = client.recv(1)
            if not data:
                raise OSError("hung up")
            request += data
        lines = request.decode().split("\r\n")
        method = lines[0].partition(" ")[0]
        number = next(x for x in lines if x.lower().startswith("cseq"))
        answer = f"RTSP/1.0 200 OK\r\n{number}\r\nSession: 1\r\n"
        if method == "OPTIONS":
            answer += "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        if method == "SETUP":
            answer += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        body = SDP if method == "DESCRIBE" else ""
        if body:
            answer += (
                f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            )
        client.sendall(f"{answer}\r\n{body}".encode())
        return method

    def _send_film(self, client: socket.socket) -> None:
        step = PACKETS_AT_A_TIME * TS_BYTES
        starts = range(0, len(self._stream), step)
        began = time.monotonic()
        for number, start in enumerate(starts):
            due = began + self._seconds * number / len(starts)
            time.sleep(max(0, due - time.monotonic()))
            payload = self._stream[start : start + step]
            clock = round(90_000 * (time.monotonic() - began))
            rtp = struct.pack("!BBHII", 0x80, 33, number & 0xFFFF, clock, 1) + payload
            client.sendall(struct.pack("!BBH", 0x24, 0, len(rtp)) + rtp)
