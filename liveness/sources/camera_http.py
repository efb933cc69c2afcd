"""HTTP client for a camera: login, redirects and a timeout on every wait.

It uses the standard library's ``http.client``, which exposes its socket, so that a
blocking read can be interrupted at once. Redirects are followed on the same server
only and proxies are not used, so the password is sent to the camera and nowhere else.
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
MAX_ANSWERS = 6  # per request: redirects and requests for a login
REDIRECTS = (301, 302, 303, 307, 308)
# Algorithms by their names in RFC 7616 and in hashlib.
DIGESTS = {"MD5": "md5", "SHA": "sha1", "SHA-256": "sha256"}


class NoPicturesError(SourceError):
    """The address works but serves no pictures; another address may."""


class CameraHttp:
    """One connection to a camera, for one request at a time.

    Args:
        address: Address of the camera.
        verify_tls: Whether to verify the certificate; False accepts a self-signed one.
        login: Login to share with another connection; None creates a new one.
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
        """Bytes of the response that remain to be read; None if it states no length."""
        return self._response.length

    def ask(self, target: str, *, connect_s: float, answer_s: float) -> str:
        """Request a path; ``read`` then returns its content.

        Args:
            target: Path and query.
            connect_s: Timeout for connecting.
            answer_s: Timeout for the headers of each response.

        Returns:
            The content type that the camera sent, "" if it sent none.

        Raises:
            NoPicturesError: If the response has no content.
            SourceError: If the login is rejected or missing.
        """
        first_target, sent_login = target, False
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
                self.login.learn(demands, refusal, again=sent_login)
                sent_login = True
            else:
                raise NoPicturesError(self._status_of(target, response))
            self.close()  # the body may be endless
        name = self._address.name_of(first_target)
        raise NoPicturesError(f"{name}: redirect loop")

    def read(self, end: float) -> bytes:
        """Read the next bytes of the response, b"" at its end.

        Raises:
            TimeoutError: If no bytes arrive before ``end``, in time.monotonic().
        """
        remaining_s = end - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError
        self._socket.settimeout(remaining_s)
        return self._response.read1(CHUNK_BYTES)

    def interrupt(self) -> None:
        """Abort what another thread is doing with this connection, for good."""
        self._interrupted = True
        if self._socket is not None:
            _shut_down(self._socket)

    def finish(self) -> None:
        """Release the response; the connection stays open if it can be reused."""
        if self._response.isclosed():
            self._response = None
        else:  # the rest would be taken for the next response
            self.close()

    def close(self) -> None:
        """Release the socket; ``ask`` may follow. Call it from the reading thread."""
        for closable in (self._response, self._http):
            if closable is not None:
                closable.close()
        self._response = self._http = self._socket = None

    @contextlib.contextmanager
    def errors(self, name: str, timeout_s: float) -> Iterator[None]:
        """Convert errors of sockets, TLS and HTTP to a SourceError with advice."""
        try:
            yield
        except TimeoutError as error:
            raise NoPicturesError(f"{name}: no answer for {timeout_s:g} s") from error
        except ssl.SSLCertVerificationError as error:
            raise SourceError(
                f"{name}: its certificate cannot be verified; use --insecure if "
                "the camera is yours and its certificate is self-signed"
            ) from error
        except socket.gaierror as error:
            raise SourceError(
                f"{name}: unknown host; check the spelling and the network"
            ) from error
        except ConnectionRefusedError as error:
            raise SourceError(
                f"{name}: connection refused; check that the camera's server is "
                "running and that the port is right"
            ) from error
        except ssl.SSLError as error:
            raise SourceError(f"{name}: TLS failed; try http://") from error
        except OSError as error:
            reason = error.strerror or "it closed the connection"
            raise SourceError(f"{name}: {reason}") from error
        except (http.client.HTTPException, ValueError) as error:
            # http.client's own messages may quote the password.
            raise SourceError(
                f"{name}: not a valid HTTP response; try https:// or another port"
            ) from error

    def _connect(self, timeout_s: float) -> None:
        host_port = (self._address.host, self._address.port)
        if self._tls is None:
            self._http = http.client.HTTPConnection(*host_port, timeout=timeout_s)
        else:
            self._http = http.client.HTTPSConnection(
                *host_port, timeout=timeout_s, context=self._tls
            )
        self._http.connect()
        self._socket = self._http.sock
        if self._interrupted:  # before a socket existed to shut down
            raise SourceError(f"{self._address.name}: closed")

    def _send(self, target: str, timeout_s: float) -> http.client.HTTPResponse:
        """Send a request and return the response, whatever its status."""
        self._socket.settimeout(timeout_s)
        with _deadline(self._socket, timeout_s):
            headers = self.login.headers(target)
            self._http.request("GET", target, headers=headers)
            self._response = self._http.getresponse()
        return self._response

    def _redirected(self, target: str, response: http.client.HTTPResponse) -> str:
        """Return the path on this server that a redirect leads to."""
        name = self._status_of(target, response)
        url = urljoin(
            self._address.url_of(target), response.headers.get("Location", "")
        )
        try:
            address = parse_address(url)
        except SourceError as error:
            raise NoPicturesError(f"{name}, but not to a camera's address") from error
        if address.origin != self._address.origin:
            raise NoPicturesError(
                f"{name}, to another server: use {address.name} if it is your camera"
            )
        return address.target

    def _status_of(self, target: str, response: http.client.HTTPResponse) -> str:
        """Describe a status in the standard's words, never in the server's."""
        status = response.status
        try:
            text = f"{status} {HTTPStatus(status).phrase}"
        except ValueError:
            text = str(status)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            text += " (is another viewer connected?)"
        return f"{self._address.name_of(target)} answers {text}"


class Login:
    """User and password, sent by the method the camera asks for: Digest, else Basic.

    They are not sent before the camera asks. So a camera that supports Digest, which
    hides the password, never receives it in plain text.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._demand: dict[str, str] | None = None  # fields of Digest; {} for Basic
        self._digest = _Digest()
        if address.user is not None:
            login = (address.user, address.password or "")
            self._digest.add_password(None, address.url_of("/"), *login)

    def headers(self, target: str) -> dict[str, bytes]:
        """Return the login headers for a request."""
        if self._demand is None:
            return {}
        if not self._demand:
            login = f"{self._address.user}:{self._address.password or ''}".encode()
            return {"Authorization": b"Basic " + base64.b64encode(login)}
        request = urllib.request.Request(self._address.url_of(target))
        answer = self._digest.get_authorization(request, self._demand)
        return {"Authorization": f"Digest {answer}".encode()}

    def learn(self, demands: Sequence[str], refusal: str, *, again: bool) -> None:
        """Choose the authentication method that the camera asks for.

        Args:
            demands: Its WWW-Authenticate headers.
            refusal: Start of the error message: what the camera answered.
            again: Whether the login was sent with the request that it rejected.

        Raises:
            SourceError: If there is no login, it was rejected, or no method is
                supported.
        """
        if self._address.user is None:
            raise SourceError(
                f"{refusal}: user and password required; write USER:PASSWORD@ before "
                "the host"
            )
        if again or self._demand == {}:
            raise SourceError(f"{refusal}: user and password rejected")
        self._demand = _choose(demands, refusal)  # again if the nonce expired


def _choose(demands: Sequence[str], refusal: str) -> dict[str, str]:
    """Return the first Digest challenge that is supported, or {} for Basic."""
    challenges = [pair for header in demands for pair in _parse_demands(header)]
    for scheme, fields in challenges:
        can_digest = fields.get("algorithm", "MD5").upper() in DIGESTS
        options = re.split(r"[\s,]+", fields.get("qop", "auth").lower())
        if scheme == "digest" and can_digest and {"realm", "nonce"} <= fields.keys():
            if "auth" in options:
                return fields | ({"qop": "auth"} if "qop" in fields else {})
    schemes = [scheme for scheme, _ in challenges]
    if schemes and "basic" not in schemes:
        raise SourceError(
            f"{refusal}: it asks for a login by {', '.join(schemes)}; expected Basic "
            f"or Digest with {', '.join(DIGESTS)}: change the camera's settings"
        )
    return {}


def _parse_demands(header: str) -> list[tuple[str, dict[str, str]]]:
    """Parse a WWW-Authenticate header to the scheme and fields of each challenge."""
    challenges: list[tuple[str, dict[str, str]]] = []
    for item in urllib.request.parse_http_list(header):
        match = re.match(r"(?:([A-Za-z-]+)\s*)?(?:\b([\w-]+)\s*=\s*(.*))?$", item)
        if match is None:
            continue
        scheme, key, value = match.groups()
        if scheme:
            challenges.append((scheme.lower(), {}))
        if key and challenges:
            challenges[-1][1][key.lower()] = value.strip('"')
    return challenges


class _Digest(urllib.request.AbstractDigestAuthHandler):
    """The standard library's Digest, with SHA-256 and UTF-8."""

    def __init__(self) -> None:
        super().__init__(urllib.request.HTTPPasswordMgrWithDefaultRealm())

    def get_algorithm_impls(self, algorithm: str) -> tuple[Callable, Callable]:
        name = DIGESTS[algorithm.upper()]

        def digest(text: str) -> str:
            return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

        return digest, lambda secret, data: digest(f"{secret}:{data}")


@contextlib.contextmanager
def _deadline(connection: socket.socket, limit_s: float) -> Iterator[None]:
    """Raise TimeoutError if the block takes longer, even if bytes trickle in."""
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        _shut_down(connection)

    timer = threading.Timer(limit_s, expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if not expired.is_set():
            raise
    finally:
        timer.cancel()
    if expired.is_set():
        raise TimeoutError


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may be closed already
        connection.shutdown(socket.SHUT_RDWR)


def _tls_context(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
