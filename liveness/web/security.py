"""What protects every page: headers, rate limits, and the key that signs sessions."""

import hashlib
import secrets
from pathlib import Path

from flask import Flask, Response, abort, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import current_user
from flask_wtf import CSRFProtect

from liveness.errors import IdentityError, OutputError, reason_of
from liveness.web.accounts import name_key
from liveness.web.database import create_private

KEY_BYTES = 32

# Several windows at once: whoever goes on trying has to wait longer and longer.
LOG_IN_LIMIT = "5/minute; 15/15 minutes; 30/hour; 60/day"  # of one name
ADDRESS_LIMIT = "20/minute; 200/hour"  # forms that one address sends
SIGN_UP_LIMIT = "10/minute; 40/hour"  # of one address
TRY_LIMIT = "30/minute"  # of one address
FRAME_LIMIT = "15/second"  # of one check
FRAMES_OF_ADDRESS = "150/second"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    # Flask-WTF compares the referrer of forms that come by https.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

csrf = CSRFProtect()
limiter = Limiter(get_remote_address, storage_uri="memory://")


def by_name() -> str:
    """Return the key of a rate limit for one account, whether it exists or not."""
    typed = request.form.get("name", "")
    try:
        typed = name_key(typed)
    except IdentityError:
        typed = ""
    return hashlib.sha256(typed.encode()).hexdigest()


def by_account() -> str:
    """Return the key of a rate limit for the account that is logged in."""
    return current_user.get_id() or ""


def set_headers(app: Flask) -> None:
    """Send ``HEADERS`` with every answer, and let nobody keep pages."""

    @app.after_request
    def add(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers[name] = value
        if request.endpoint != "static":
            response.headers["Cache-Control"] = "no-store"
        if app.config["SESSION_COOKIE_SECURE"]:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        return response


def refuse_streams(app: Flask) -> None:
    """Refuse requests that do not say how long they are; no browser sends such."""

    @app.before_request
    def check() -> None:
        if "Transfer-Encoding" in request.headers:
            abort(411)

    @app.after_request
    def close(response: Response) -> Response:
        if response.status_code == 411:  # its body is not read
            response.headers["Connection"] = "close"
        return response


def secret_key(path: Path) -> bytes:
    """Read the key that signs sessions; the first call makes it.

    Args:
        path: File that only its owner can read.

    Raises:
        OutputError: If it cannot be written or read, others can read it, or it is
            too short.
    """
    create_private(path)
    try:
        if not path.stat().st_size:
            path.write_bytes(secrets.token_bytes(KEY_BYTES))
        key = path.read_bytes()
    except OSError as error:
        raise OutputError(f"cannot read '{path}': {reason_of(error)}") from error
    if len(key) < KEY_BYTES:
        raise OutputError(f"'{path}' is no key: delete it, and everybody logs in anew")
    return key
