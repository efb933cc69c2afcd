"""The pages that people open."""

import json
import secrets

from flask import (
    Blueprint,
    Response,
    current_app,
    flash,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_login import current_user, login_required, logout_user
from werkzeug.wrappers import Response as Redirect

from liveness.people.identity import checked_name
from liveness.web import accounts, security
from liveness.web.face_checks import FaceCheck, FaceChecks, LogIn, SignUp, Tools
from liveness.web.forms import DeleteForm, LogInForm, SignUpForm
from liveness.web.security import limiter

pages = Blueprint("pages", __name__)

WRONG = "Name or password is wrong."


def tools() -> Tools:
    """Return what the checks of this application share."""
    return current_app.extensions["liveness_tools"]


def checks() -> FaceChecks:
    """Return the checks of this application that are not over."""
    return current_app.extensions["liveness_checks"]


def session_id() -> str:
    """Return what tells this browser's session from others."""
    return session.setdefault("id", secrets.token_urlsafe(16))


def begin(check: FaceCheck) -> str:
    """Begin a check in this session; returns its nonce."""
    session["check"] = checks().begin(check, session_id())
    return session["check"]


@pages.get("/")
def home() -> str:
    """Show the verdict on one's own camera, or one's account."""
    if current_user.is_authenticated:
        return render_template(
            "home.html",
            account=current_user,
            attempts=current_user.attempts[: accounts.SHOWN_ATTEMPTS],
        )
    return render_template("try.html")


@pages.get("/try")
def try_it() -> str:
    """Show the verdict on one's own camera."""
    return render_template("try.html")


@pages.route("/signup", methods=["GET", "POST"])
@limiter.limit(security.SIGN_UP_LIMIT, methods=["POST"])
def sign_up() -> str | Redirect:
    """Ask for name, password and consent; the face comes next."""
    if current_user.is_authenticated:
        return redirect(url_for("pages.home"))
    form = SignUpForm(request.form)
    if not form.validate_on_submit():
        return render_template("signup.html", form=form)
    name = checked_name(form.name.data)
    begin(SignUp(tools(), name, accounts.hash_password(form.password.data)))
    return redirect(url_for("pages.face"))


@pages.route("/login", methods=["GET", "POST"])
@limiter.limit(security.ADDRESS_LIMIT, methods=["POST"])
@limiter.limit(security.LOG_IN_LIMIT, key_func=security.by_name, methods=["POST"])
def log_in() -> str | Redirect | tuple[str, int]:
    """Ask for name and password; the face comes next."""
    if current_user.is_authenticated:
        return redirect(url_for("pages.home"))
    form = LogInForm(request.form)
    if not form.validate_on_submit():
        return render_template("login.html", form=form)
    account = accounts.account_of(form.name.data)
    if not accounts.has_password(account, form.password.data):
        accounts.note_attempt(account, address(), "wrong password")
        return render_template("login.html", form=form, wrong=WRONG), 401
    accounts.note_attempt(account, address(), "right password")
    begin(LogIn(tools(), account.token, accounts.faces_of(account)))
    return redirect(url_for("pages.face"))


@pages.get("/face")
def face() -> str | Redirect:
    """Ask for the face, for whoever has just signed up or given the password."""
    check = checks().find(session.get("check", ""), session_id())
    if check is None or check.reveals:
        flash("Start again, please: that face check is over.")
        return redirect(url_for("pages.home"))
    back = "pages.sign_up" if isinstance(check, SignUp) else "pages.log_in"
    return render_template("face.html", check=check, back=url_for(back))


@pages.post("/logout")
@login_required
def log_out() -> Redirect:
    """End all sessions of the account."""
    accounts.end_sessions(current_user)
    leave()
    return redirect(url_for("pages.home"))


@pages.get("/export")
@login_required
def export() -> Response:
    """Send all that is kept of the account."""
    response = Response(
        json.dumps(accounts.export(current_user), indent=2), mimetype="application/json"
    )
    response.headers["Content-Disposition"] = "attachment; filename=my-data.json"
    return response


@pages.route("/delete", methods=["GET", "POST"])
@login_required
@limiter.limit(security.ADDRESS_LIMIT, methods=["POST"])
@limiter.limit(security.LOG_IN_LIMIT, key_func=security.by_account, methods=["POST"])
def delete() -> str | Redirect | tuple[str, int]:
    """Delete the account, after its password."""
    form = DeleteForm(request.form)
    if not form.validate_on_submit():
        return render_template("delete.html", form=form)
    if not accounts.has_password(current_user, form.password.data):
        accounts.note_attempt(current_user, address(), "wrong password")
        wrong = "The password is wrong."
        return render_template("delete.html", form=form, wrong=wrong), 401
    account = current_user._get_current_object()
    leave()
    accounts.delete_account(account)
    flash("Your account is deleted, with everything that was kept of it.")
    return redirect(url_for("pages.home"))


@pages.get("/limits")
def limits() -> str:
    """Say what this does not stop."""
    return render_template("limits.html")


def address() -> str:
    """Return the network address of the browser."""
    return request.remote_addr or "unknown"


def leave() -> None:
    """End this session, and begin an empty one."""
    logout_user()
    session.clear()
