"""What people type in."""

from flask_wtf import FlaskForm
from wtforms import BooleanField, PasswordField, StringField, ValidationError
from wtforms.validators import DataRequired, InputRequired, Length

from liveness.errors import IdentityError
from liveness.web.accounts import (
    LEAST_PASSWORD,
    MOST_PASSWORD,
    account_of,
    name_key,
)


class SignUpForm(FlaskForm):
    """Name, password and consent of a new account."""

    name = StringField("Name", [DataRequired()])
    password = PasswordField(
        "Password",
        [
            InputRequired(),
            Length(
                LEAST_PASSWORD,
                MOST_PASSWORD,
                f"Use {LEAST_PASSWORD} to {MOST_PASSWORD} characters.",
            ),
        ],
    )
    consent = BooleanField(
        "I agree that numbers computed from my face are kept, to recognise me. No "
        "picture is kept. I can delete them at any time.",
        [DataRequired("Without your consent there is no account.")],
    )

    def validate_name(self, field: StringField) -> None:
        """Refuse a name that is not valid, or that somebody has."""
        try:
            name_key(field.data)
        except IdentityError as error:
            raise ValidationError(
                "Use 1 to 100 letters, without slashes and control characters."
            ) from error
        if account_of(field.data):
            raise ValidationError("This name is taken.")


class LogInForm(FlaskForm):
    """Name and password."""

    name = StringField("Name", [DataRequired()])
    password = PasswordField("Password", [InputRequired(), Length(max=MOST_PASSWORD)])


class DeleteForm(FlaskForm):
    """The password, once more."""

    password = PasswordField("Password", [InputRequired(), Length(max=MOST_PASSWORD)])
