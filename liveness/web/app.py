"""Put the web application together."""

import logging
import math
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from flask import Flask, Response, jsonify, render_template, request, session
from flask_login import LoginManager
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import (
    HTTPException,
    InternalServerError,
    SecurityError,
)

from liveness.errors import OutputError
from liveness.web.database import Account, database_url, db
from liveness.web.face_checks import FaceChecks, Tools
from liveness.web.frames import frames
from liveness.web.pages import pages
from liveness.web.security import (
    csrf,
    limiter,
    refuse_streams,
    secret_key,
    set_headers,
)
from liveness.web.uploads import MAX_BYTES

STAY = timedelta(hours=1)  # after which one has to log in again
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")  # as browsers write them

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How the application is set up.

    Attributes:
        database: URL, or path of an SQLite file.
        key_file: File with the key that signs sessions, made if it is missing.
        is_secure: Whether browsers reach it by https.
        hosts: Names that it may be asked for; None for any.
    """

    database: str
    key_file: Path
    is_secure: bool = False
    hosts: tuple[str, ...] | None = None


def create_app(
    settings: Settings, tools: Tools, checks: FaceChecks | None = None
) -> Flask:
    """Return the WSGI application; its tables are made if they are missing.

    Args:
        settings: How it is set up.
        tools: What faces are checked with.
        checks: Those that are not over; None for new ones.

    Raises:
        OutputError: If the database or the key cannot be used.
    """
    app = Flask(__name__)
    app.config.from_mapping(
        SECRET_KEY=secret_key(settings.key_file),
        SQLALCHEMY_DATABASE_URI=database_url(settings.database),
        MAX_CONTENT_LENGTH=MAX_BYTES,
        TRUSTED_HOSTS=settings.hosts and list(settings.hosts),
        SESSION_COOKIE_NAME="liveness",
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_SECURE=settings.is_secure,
        PERMANENT_SESSION_LIFETIME=STAY,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
    )
    app.extensions["liveness_tools"] = tools
    app.extensions["liveness_checks"] = checks or FaceChecks()
    csrf.init_app(app)
    limiter.init_app(app)
    refuse_streams(app)
    set_headers(app)
    _set_up_login(app)
    _set_up_errors(app)
    app.register_blueprint(pages)
    app.register_blueprint(frames)
    try:
        db.init_app(app)
        with app.app_context():
            db.create_all()
    except (SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise OutputError(f"cannot use the database: {reason}") from error
    return app


def _set_up_login(app: Flask) -> None:
    """Keep who is logged in, for as long as address and browser stay the same."""
    manager = LoginManager(app)
    manager.session_protection = "strong"
    manager.login_view = "pages.log_in"
    manager.login_message = "Log in first, please."

    @manager.user_loader
    def load(token: str) -> Account | None:
        # A cookie is signed anew, with a new time, whenever the session changes.
        if time.time() - session.get("since", 0) > STAY.total_seconds():
            return None
        return db.session.scalar(select(Account).filter_by(token=token))


def _set_up_errors(app: Flask) -> None:
    """Answer every failure by one sentence, as a page or as JSON."""

    @app.errorhandler(Exception)
    def tell(error: Exception) -> tuple[Response | str, int, dict[str, str]]:
        if not isinstance(error, HTTPException):
            logger.error("%s %s", request.method, request.path, exc_info=error)
            error = InternalServerError()
        text = {
            400: "This form is too old, or did not come from this site. Try again.",
            404: "There is no such page.",
            413: f"This is more than {MAX_BYTES} bytes.",
            429: "Too many attempts. Wait a while, then try again.",
            500: "Something went wrong here. It is in the server's log.",
        }.get(error.code, error.name)
        headers = {"Retry-After": str(_wait_s())} if error.code == 429 else {}
        if isinstance(error, SecurityError):  # of a host that no page can link to
            return text, error.code, headers
        if request.blueprint == "frames":
            return jsonify(state="error", message=text), error.code, headers
        return render_template("message.html", message=text), error.code, headers


def _wait_s() -> int:
    """Return the whole seconds until the rate limit in force admits a request."""
    limit = limiter.current_limit
    return max(1, math.ceil(limit.reset_at - time.time())) if limit else 1
