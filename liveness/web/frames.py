"""What the script of a page posts: the start of a check, and frames of the camera."""

import time

from flask import Blueprint, Response, jsonify, request, session, url_for
from flask_login import login_user
from sqlalchemy import select

from liveness.errors import ImageError
from liveness.web import accounts, security
from liveness.web.database import Account, db
from liveness.web.face_checks import Answer, FaceCheck, LogIn, SignUp, TryIt
from liveness.web.pages import address, begin, checks, session_id, tools
from liveness.web.security import limiter
from liveness.web.uploads import decode_frame

frames = Blueprint("frames", __name__)

GONE = "This face check is over. Start again."
TAKEN = "Somebody has taken this name meanwhile. Sign up with another."
RETRY_S = 2  # after which a browser asks again for a place


@frames.post("/try")
@limiter.limit(security.TRY_LIMIT)
def begin_try() -> Response:
    """Begin a check that only shows verdicts."""
    nonce = begin(TryIt(tools()))
    return jsonify(url=url_for("frames.look", nonce=nonce))


@frames.post("/check/<nonce>")
@limiter.limit(security.FRAMES_OF_ADDRESS)
@limiter.limit(security.FRAME_LIMIT, key_func=lambda: session.get("id", ""))
def look(nonce: str) -> tuple[Response, int] | Response:
    """Judge one frame, a JPEG as the body of the request."""
    check = checks().find(nonce, session_id())
    if check is None:
        return jsonify(state="gone", message=GONE), 404
    if request.mimetype != "image/jpeg":
        return jsonify(state="error", message="expected image/jpeg"), 415
    try:
        image = decode_frame(request.get_data(cache=False))
    except ImageError as error:
        return jsonify(state="error", message=str(error)), 400
    answer = checks().look(check, image)
    if answer is None:
        message = "Others are being checked. Yours begins in a moment."
        response = jsonify(state="waiting", message=message, retry_s=RETRY_S)
        response.headers["Retry-After"] = str(RETRY_S)
        return response, 503
    if answer.state == "gone":
        return jsonify(state="gone", message=GONE), 404
    if answer.state != "looking":
        answer = _end(check, answer)
    return jsonify(_as_json(check, answer, image.shape[:2]))


def _end(check: FaceCheck, answer: Answer) -> Answer:
    """Do what a check was for: make the account, let in, or note the refusal."""
    session.pop("check", None)
    has_passed = answer.state == "passed"
    if isinstance(check, SignUp) and has_passed:
        account = accounts.create_account(
            check.name, check.password_hash, check.encodings
        )
        if account is None:
            return Answer("failed", TAKEN, 0)
        _let_in(account, "signed up")
    elif isinstance(check, LogIn):
        account = db.session.scalar(select(Account).filter_by(token=check.account))
        if account is None:  # deleted or logged out meanwhile, by another session
            return Answer("failed", GONE, 0)
        if has_passed:
            _let_in(account, "let in")
        else:
            accounts.note_attempt(account, address(), "face refused")
    return answer


def _let_in(account: Account, result: str) -> None:
    """Begin a fresh session of the account: nothing of the one before is kept."""
    accounts.note_attempt(account, address(), result)
    session.clear()
    session["since"] = int(time.time())
    login_user(account)


def _as_json(
    check: FaceCheck, answer: Answer, shape_hw: tuple[int, int]
) -> dict[str, object]:
    """Return an answer as JSON; scores only where they are to be seen."""
    fields: dict[str, object] = {
        "state": answer.state,
        "message": answer.message,
        "seconds_left": round(answer.seconds_left, 1),
        "queue": checks().frames_queue,
        "size": [shape_hw[1], shape_hw[0]],
        "faces": [
            face.as_json() if check.reveals else {"box": list(face.box)}
            for face in answer.faces
        ],
    }
    if answer.state == "passed":
        fields["next"] = url_for("pages.home")
    return fields
