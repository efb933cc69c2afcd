"""An HTTP conversation with a camera: login, redirects, and a limit on every wait.

The client is the standard library's ``http.client``: it hands out its socket, so that
a blocked read can be ended at once. A redirect is followed on the same server only,
and proxies are not used, so that the password goes to the camera and nowhere else.
"""

import base64
import contextlib
import hashlib
import http.client
import re
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from urllib.parse import urljoin

from liveness.errors import SourceError
from liveness.sources.camera_address import Address, parse_address

CHUNK_BYTES = 1 << 16
MAX_ANSWERS = 6  # to one question: redirects and demands for a login
REDIRECTS = (301, 302, 303, 307, 308)
DIGESTS = {"MD5": "md5", "SHA": "sha1", "SHA-256": "sha256"}  # RFC 7616, and hashlib's


class NoPicturesError(SourceError):
    """This address works but has no pictures; another one may have."""


class CameraHttp:
    """One connection to a camera; asked again and again, for one thing at a time.

    Args:
        address: The camera.
        verify_tls: False accepts any certificate, such as a self-signed one.
        login: What is known of the login, to share it; None to begin with nothing.
    """

    def __init__(
        self, address: Address, *, verify_tls: bool, login: "Login | None" = None
    ) -> None:
        self.login = login or Login(address)
        self._address = address
        self._tls = _tls_context(verify_tls) if address.scheme == "https" else None
        self._http: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._response: http.client.HTTPResponse | None = None
        self._interrupted = False

    @property
    def length(self) -> int | None:
        """Bytes of the answer that are left, None where it does not say."""
        return self._response.length

    def ask(self, target: str, *, connect_s: float, answer_s: float) -> str:
        """Ask for a path; its content is then there for ``read``.

        Args:
            target: Path and query.
            connect_s: Limit on connecting.
            answer_s: Limit on the headers of each answer.

        Returns:
            The content type as the camera sent it, "" where it sent none.

        Raises:
            NoPicturesError: If the answer is no content.
            SourceError: If the login is refused or missing.
        """
        asked, was_told = target, False
        for _ in range(MAX_ANSWERS):
            if self._http is None or self._http.sock is None:
                self._connect(connect_s)
            response = self._send(target, answer_s)
            if response.status == HTTPStatus.OK:
                return response.headers.get("Content-Type", "").strip()
            if response.status in REDIRECTS:
                target = self._redirected(target, response)
            elif response.status in (401, 403):
                demands = response.headers.get_all("WWW-Authenticate", [])
                refusal = f"{self._address.name_of(target)} answers {response.status}"
                self.login.learn(demands, refusal, again=was_told)
                was_told = True
            else:
                raise NoPicturesError(self._status_of(target, response))
            self.close()  # what it says beside the headers may have no end
        raise NoPicturesError(f"{self._address.name_of(asked)} redirects in a circle")

    def read(self, end: float) -> bytes:
        """The next bytes of the answer, b"" at its end.

        Raises:
            TimeoutError: If there are none until ``end`` of time.monotonic().
        """
        left_s = end - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._socket.settimeout(left_s)
        return self._response.read1(CHUNK_BYTES)

    def interrupt(self) -> None:
        """End what another thread is doing with this connection, for good."""
        self._interrupted = True
        if self._socket is not None:
            _shut_down(self._socket)

    def finish(self) -> None:
        """Let go of the answer; the connection stays if it can be used again."""
        if self._response.isclosed():
            self._response = None
        else:  # what is left of it would be taken for the next answer
            self.close()

    def close(self) -> None:
        """Release the socket; ``ask`` may follow. By the thread that reads."""
        for closable in (self._response, self._http):
            if closable is not None:
                closable.close()
        self._response = self._http = self._socket = None

    @contextlib.contextmanager
    def errors(self, name: str, timeout_s: float) -> Iterator[None]:
        """Turn what sockets, TLS and HTTP raise into one clear SourceError."""
        try:
            yield
        except TimeoutError as error:
            raise NoPicturesError(f"{name}: no answer for {timeout_s:g} s") from error
        except ssl.SSLCertVerificationError as error:
            raise SourceError(
                f"{name}: its certificate cannot be verified; use --insecure if "
                "the camera is yours and its certificate self-signed"
            ) from error
        except socket.gaierror as error:
            raise SourceError(
                f"{name}: unknown host; is it spelled right, and in this network?"
            ) from error
        except ConnectionRefusedError as error:
            raise SourceError(
                f"{name}: connection refused; is the camera's server started, and the "
                "port right?"
            ) from error
        except ssl.SSLError as error:
            raise SourceError(f"{name}: TLS fails; is it http://?") from error
        except OSError as error:
            reason = error.strerror or "it closed the connection"
            raise SourceError(f"{name}: {reason}") from error
        except (http.client.HTTPException, ValueError) as error:
            # http.client's own texts may quote what we must not show.
            raise SourceError(
                f"{name}: not a valid HTTP answer; is it https://, or another port?"
            ) from error

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
            raise SourceError(f"{self._address.name}: closed")

    def _send(self, target: str, timeout_s: float) -> http.client.HTTPResponse:
        """The answer to a request, whatever it is."""
        self._socket.settimeout(timeout_s)
        with _deadline(self._socket, timeout_s):
            headers = self.login.headers(target)
            self._http.request("GET", target, headers=headers)
            self._response = self._http.getresponse()
        return self._response

    def _redirected(self, target: str, response: http.client.HTTPResponse) -> str:
        """Where on this server a redirect leads."""
        name = self._status_of(target, response)
        url = urljoin(
            self._address.url_of(target), response.headers.get("Location", "")
        )
        try:
            there = parse_address(url)
        except SourceError as error:
            raise NoPicturesError(f"{name}, to no address of a camera") from error
        if there.origin != self._address.origin:
            raise NoPicturesError(
                f"{name}, to another server: give {there.name} if it is your camera"
            )
        return there.target

    def _status_of(self, target: str, response: http.client.HTTPResponse) -> str:
        """What was answered, in words of the standard: a server's may be anything."""
        status = response.status
        try:
            words = f"{status} {HTTPStatus(status).phrase}"
        except ValueError:
            words = str(status)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            words += " (another viewer?)"
        return f"{self._address.name_of(target)} answers {words}"


class Login:
    """User and password of a camera, told it as it asks: Digest, else Basic.

    They are not sent before it asks, so that one that knows Digest, which hides the
    password, is never sent it in the open.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._demand: dict[str, str] | None = None  # of Digest; {} for Basic
        self._digest = _Digest()
        if address.user is not None:
            login = (address.user, address.password or "")
            self._digest.add_password(None, address.url_of("/"), *login)

    def headers(self, target: str) -> dict[str, bytes]:
        """Headers of a request for a path."""
        if self._demand is None:
            return {}
        if not self._demand:
            login = f"{self._address.user}:{self._address.password or ''}".encode()
            return {"Authorization": b"Basic " + base64.b64encode(login)}
        request = urllib.request.Request(self._address.url_of(target))
        words = self._digest.get_authorization(request, self._demand)
        return {"Authorization": f"Digest {words}".encode()}

    def learn(self, demands: Sequence[str], refusal: str, *, again: bool) -> None:
        """Take up how the camera wants to be told the login.

        Args:
            demands: Its WWW-Authenticate headers.
            refusal: What it answered, for the message.
            again: Whether it was told just now, as it wants to be.

        Raises:
            SourceError: If there is no login, it was refused, or none of the ways
                is known.
        """
        if self._address.user is None:
            raise SourceError(
                f"{refusal}: user and password missing; write USER:PASSWORD@ before "
                "the host"
            )
        if again or self._demand == {}:
            raise SourceError(f"{refusal}: user and password refused")
        self._demand = _choose(demands, refusal)  # anew where its nonce ran out


def _choose(demands: Sequence[str], refusal: str) -> dict[str, str]:
    """The first demand of Digest that can be met, else {} for Basic."""
    wanted = [demand for header in demands for demand in _parse_demands(header)]
    for kind, fields in wanted:
        can_digest = fields.get("algorithm", "MD5").upper() in DIGESTS
        ways = re.split(r"[\s,]+", fields.get("qop", "auth").lower())
        if kind == "digest" and can_digest and {"realm", "nonce"} <= fields.keys():
            if "auth" in ways:
                return fields | ({"qop": "auth"} if "qop" in fields else {})
    kinds = [kind for kind, _ in wanted]
    if kinds and "basic" not in kinds:
        raise SourceError(
            f"{refusal}: it wants a login by {', '.join(kinds)}; expected Basic or a "
            f"Digest with {', '.join(DIGESTS)}: change it in the camera's settings"
        )
    return {}


def _parse_demands(header: str) -> list[tuple[str, dict[str, str]]]:
    """Kinds and fields of the demands in a WWW-Authenticate header."""
    demands: list[tuple[str, dict[str, str]]] = []
    for item in urllib.request.parse_http_list(header):
        match = re.match(r"(?:([A-Za-z-]+)\s*)?(?:\b([\w-]+)\s*=\s*(.*))?$", item)
        if match is None:
            continue
        kind, key, value = match.groups()
        if kind:
            demands.append((kind.lower(), {}))
        if key and demands:
            demands[-1][1][key.lower()] = value.strip('"')
    return demands


class _Digest(urllib.request.AbstractDigestAuthHandler):
    """The standard library's Digest, with a newer hash and letters of all languages."""

    def __init__(self) -> None:
        super().__init__(urllib.request.HTTPPasswordMgrWithDefaultRealm())

    def get_algorithm_impls(self, algorithm: str) -> tuple[Callable, Callable]:
        name = DIGESTS[algorithm.upper()]

        def digest(text: str) -> str:
            return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

        return digest, lambda secret, data: digest(f"{secret}:{data}")


@contextlib.contextmanager
def _deadline(connection: socket.socket, limit_s: float) -> Iterator[None]:
    """TimeoutError where it takes longer, however steadily single bytes come in."""
    ran_out = threading.Event()

    def end() -> None:
        ran_out.set()
        _shut_down(connection)

    timer = threading.Timer(limit_s, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if not ran_out.is_set():
            raise
    finally:
        timer.cancel()
    if ran_out.is_set():
        raise TimeoutError


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may be closed by now
        connection.shutdown(socket.SHUT_RDWR)


def _tls_context(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
