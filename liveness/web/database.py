"""Tables of the web app: accounts, encodings of faces, and attempts to get in."""

import os
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, ForeignKey, String, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from liveness.errors import OutputError, reason_of


class Base(DeclarativeBase):
    """Base of the tables."""


db = SQLAlchemy(model_class=Base)


def now() -> datetime:
    """Return the time in UTC, without a zone, as databases keep it."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


class Account(UserMixin, db.Model):
    """A person who can log in.

    Attributes:
        name: As it was typed.
        name_key: The same without case; no two accounts share it.
        password_hash: Of argon2id, with its parameters.
        token: Stands for the account in sessions; a new one ends all of them.
        created: In UTC.
    """

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    name_key: Mapped[str] = mapped_column(String(300), unique=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    token: Mapped[str] = mapped_column(String(64), unique=True)
    created: Mapped[datetime] = mapped_column(default=now)
    encodings: Mapped[list["Encoding"]] = relationship(cascade="all, delete-orphan")
    attempts: Mapped[list["Attempt"]] = relationship(
        cascade="all, delete-orphan", order_by="Attempt.id.desc()"
    )

    def get_id(self) -> str:
        """Return what a session keeps of the account, see ``token``."""
        return self.token


class Encoding(db.Model):
    """One picture of a face as 128 numbers.

    Attributes:
        values: 128 float64, little-endian.
    """

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id), index=True)
    values: Mapped[bytes]


class Attempt(db.Model):
    """An attempt to get into an account, without any picture.

    Attributes:
        account_id: None for a name that nobody has.
        at: In UTC.
        address: Network address that it came from.
        result: ``signed up``, ``wrong password``, ``right password`` (the face comes
            next), ``face refused`` or ``let in``.
    """

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey(Account.id), index=True)
    at: Mapped[datetime] = mapped_column(default=now)
    address: Mapped[str] = mapped_column(String(64))
    result: Mapped[str] = mapped_column(String(32))


@event.listens_for(Engine, "connect")
def _set_up_sqlite(connection: object, _: object) -> None:
    """Make SQLite keep to foreign keys, and overwrite what is deleted."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA secure_delete=ON")


def database_url(text: str) -> str:
    """Return the URL of a database.

    Args:
        text: A URL such as ``postgresql+psycopg://...``, or the path of an SQLite file,
            which is created if it is missing, readable by its owner alone.

    Raises:
        OutputError: If it is no URL that SQLAlchemy knows, or the file cannot be
            created or is readable by others.
    """
    if "://" in text:
        try:
            make_url(text)
        except ArgumentError:
            raise OutputError(
                "cannot use the database: expected a path or a URL such as "
                "'postgresql+psycopg://user@host/name'"
            ) from None
        return text
    path = Path(text).absolute()
    create_private(path)
    return f"sqlite:///{path}"


def create_private(path: Path) -> None:
    """Create an empty file that only its owner can read, unless it exists.

    Raises:
        OutputError: If it cannot be created, or is one that others can read.
    """
    try:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        mode = path.stat().st_mode
    except OSError as error:
        raise OutputError(f"cannot create '{path}': {reason_of(error)}") from error
    if os.name == "posix" and mode & 0o077:
        raise OutputError(f"'{path}' can be read by others: run chmod 600 on it first")
