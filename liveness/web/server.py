"""Serve the web application by HTTP or HTTPS until it is ended."""

import logging
import re
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter

from liveness.errors import OutputError, reason_of
from liveness.web.uploads import MAX_BYTES

THREADS = 16  # a request takes one: ten checks, and pages beside them
KEPT_OPEN = 100  # connections between requests; a new one for each frame takes longer
# More than the application takes, so that its answer says why; what is beyond would
# be read into memory all the same.
MOST_BYTES = 2 * MAX_BYTES
MOST_HEADER_BYTES = 2**16
TIMEOUT_S = 10  # for a browser that stops in the middle of a request

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Address:
    """Where the application is served.

    Attributes:
        host: Name or address to listen on.
        port: 0 for a free one.
        certificate: PEM file for https; None for http.
        key: PEM file of its key; None for http.
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None


class _Adapter(BuiltinSSLAdapter):
    """Shakes hands in the thread that reads the request.

    Cheroot's own shakes them where connections are taken: there a peer that says
    nothing would keep everybody waiting for ``TIMEOUT_S``.
    """

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        """Return the socket with TLS, and what each request of it is told."""
        wrapped = self.context.wrap_socket(
            sock, server_side=True, do_handshake_on_connect=False
        )
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}


def serve(
    application: Callable, address: Address, ready: Callable[[str], None]
) -> None:
    """Serve until interrupted.

    Args:
        application: By WSGI.
        address: Where.
        ready: Is called with the URL once connections are taken.

    Raises:
        OutputError: If the port or the certificate cannot be used.
    """
    server = wsgi.Server(
        (address.host, address.port),
        application,
        numthreads=THREADS,
        timeout=TIMEOUT_S,
        server_name="liveness",
    )
    server.keep_alive_conn_limit = KEPT_OPEN
    server.error_log = _log
    server.max_request_body_size = MOST_BYTES
    server.max_request_header_size = MOST_HEADER_BYTES
    if address.certificate is not None:
        server.ssl_adapter = _adapter(address)
    try:
        server.prepare()
    except OSError as error:
        place = f"{address.host}:{address.port}"
        raise OutputError(f"cannot listen on {place}: {_cause(error)}") from error
    scheme = "http" if address.certificate is None else "https"
    host = _name_for_others(address.host)
    try:
        ready(f"{scheme}://{host}:{server.bind_addr[1]}")
        server.serve()
    finally:
        server.stop()


def _log(text: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
    """Log what cheroot says; one line of a peer that breaks off or speaks no TLS."""
    error = sys.exc_info()[1] if traceback else None
    if isinstance(error, OSError):  # ssl.SSLError is one
        logger.debug("%s: %s", text, error)
    else:
        logger.log(level, "%s", text, exc_info=error)


def _name_for_others(host: str) -> str:
    """Return the address of this machine where it listens on all of them."""
    if host not in ("0.0.0.0", "::"):
        return f"[{host}]" if ":" in host else host
    # No packet is sent: the system only says which way it would take.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of RFC 5737, for documentation
        except OSError:
            return "127.0.0.1"
        return probe.getsockname()[0]


def _adapter(address: Address) -> _Adapter:
    """Return what speaks TLS."""
    for path in (address.certificate, address.key):
        try:
            path.open("rb").close()
        except OSError as error:
            raise OutputError(f"cannot read '{path}': {reason_of(error)}") from error
    try:
        return _Adapter(str(address.certificate), str(address.key))
    except (ssl.SSLError, ValueError) as error:
        raise OutputError(
            f"cannot use '{address.certificate}' and '{address.key}' for https: "
            "expected a certificate and its key without a password, both PEM"
        ) from error


def _cause(error: OSError) -> str:
    """Return why a port cannot be used; cheroot wraps it into a sentence of its own."""
    wrapped = re.search(r"\[errno -?\d+\] ([^)]+)", reason_of(error))
    return wrapped[1] if wrapped else reason_of(error)
