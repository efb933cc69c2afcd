"""Serve the web application by HTTP or HTTPS until it is ended."""

import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter

from liveness.errors import OutputError, reason_of

THREADS = 16  # a request takes one: ten checks, and pages beside them
KEPT_OPEN = 100  # connections between requests; a new one for each frame takes longer
TIMEOUT_S = 10  # for a browser that stops in the middle of a request


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
    if address.certificate is not None:
        server.ssl_adapter = _adapter(address)
    try:
        server.prepare()
    except OSError as error:
        place = f"{address.host}:{address.port}"
        raise OutputError(f"cannot listen on {place}: {_cause(error)}") from error
    scheme = "http" if address.certificate is None else "https"
    host = f"[{address.host}]" if ":" in address.host else address.host
    try:
        ready(f"{scheme}://{host}:{server.bind_addr[1]}")
        server.serve()
    finally:
        server.stop()


def addresses_of(host: str) -> list[str]:
    """Return the addresses of this machine that a phone may use for a host.

    Args:
        host: That is listened on; ``0.0.0.0`` and ``::`` stand for all.
    """
    if host not in ("0.0.0.0", "::"):
        return [host]
    # No packet is sent: the system only says which way it would take.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of RFC 5737, for documentation
        except OSError:
            return ["127.0.0.1"]
        return [probe.getsockname()[0]]


def _adapter(address: Address) -> BuiltinSSLAdapter:
    """Return what speaks TLS."""
    for path in (address.certificate, address.key):
        try:
            path.open("rb").close()
        except OSError as error:
            raise OutputError(f"cannot read '{path}': {reason_of(error)}") from error
    try:
        return BuiltinSSLAdapter(str(address.certificate), str(address.key))
    except (ssl.SSLError, ValueError) as error:
        raise OutputError(
            f"cannot use '{address.certificate}' and '{address.key}' for https: "
            "expected a certificate and its key without a password, both PEM"
        ) from error


def _cause(error: OSError) -> str:
    """Return why a port cannot be used; cheroot wraps it into a sentence of its own."""
    wrapped = re.search(r"\[errno -?\d+\] ([^)]+)", reason_of(error))
    return wrapped[1] if wrapped else reason_of(error)
