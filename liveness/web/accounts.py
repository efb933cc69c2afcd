"""Create, check, export and delete accounts."""

import logging
import secrets
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from liveness.errors import IdentityError
from liveness.people.identity import KnownFaces, checked_name
from liveness.web.database import Account, Attempt, Encoding, db, now

LEAST_PASSWORD = 8  # characters; NIST SP 800-63B-4, 3.1.1.2, for one of two factors
MOST_PASSWORD = 128  # characters; a longer one would only cost time
SHOWN_ATTEMPTS = 10
KEPT = timedelta(days=90)  # of attempts

# The parameters are those that argon2-cffi takes from RFC 9106, for little memory.
_hasher = PasswordHasher()
# Is checked for names that nobody has, so that they take as long as others.
_NOBODY = _hasher.hash(secrets.token_hex())

logger = logging.getLogger(__name__)


def name_key(name: str) -> str:
    """Return what two spellings of a name share: Unicode NFC, no case, no margins.

    Raises:
        IdentityError: If the name is empty, too long or has control characters.
    """
    return checked_name(name).casefold()


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password, with a new salt."""
    return _hasher.hash(password)


def account_of(name: str) -> Account | None:
    """Return the account of a name, None if there is none."""
    try:
        key = name_key(name)
    except IdentityError:
        return None
    return db.session.scalar(select(Account).filter_by(name_key=key))


def has_password(account: Account | None, password: str) -> bool:
    """Tell whether a password is right; takes as long if there is no account."""
    try:
        _hasher.verify(account.password_hash if account else _NOBODY, password)
    except VerificationError:
        return False
    return account is not None


def create_account(
    name: str, password_hash: str, encodings: Sequence[np.ndarray]
) -> Account | None:
    """Save a new account.

    Args:
        name: A valid name.
        password_hash: Of ``hash_password``.
        encodings: (128,) float64 each.

    Returns:
        The account; None if somebody has that name by now.
    """
    account = Account(
        name=checked_name(name),
        name_key=name_key(name),
        password_hash=password_hash,
        token=secrets.token_hex(),
        encodings=[Encoding(values=one.astype("<f8").tobytes()) for one in encodings],
    )
    db.session.add(account)
    try:
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        return None
    return account


def faces_of(account: Account) -> KnownFaces:
    """Return the encodings of an account under its name."""
    values = [np.frombuffer(one.values, "<f8") for one in account.encodings]
    return KnownFaces((account.name,) * len(values), np.array(values))


def note_attempt(account: Account | None, address: str, result: str) -> None:
    """Add an attempt to the log, and drop those older than ``KEPT``.

    Args:
        account: Whose; None for a name that nobody has, which must take as long.
        address: Network address that it came from.
        result: As in ``Attempt``.
    """
    number = None if account is None else account.id
    db.session.execute(delete(Attempt).where(Attempt.at < now() - KEPT))
    db.session.add(Attempt(account_id=number, address=address, result=result))
    db.session.commit()
    logger.info("account %s: %s, from %s", number or "unknown", result, address)


def end_sessions(account: Account) -> None:
    """Log the account out everywhere: cookies of before are good for nothing."""
    account.token = secrets.token_hex()
    db.session.commit()


def export(account: Account) -> dict[str, object]:
    """Return all that is kept of an account, but for the hash of its password."""
    return {
        "name": account.name,
        "created": account.created.isoformat(),
        "encodings": [
            np.frombuffer(one.values, "<f8").tolist() for one in account.encodings
        ],
        "attempts": [
            {"at": one.at.isoformat(), "address": one.address, "result": one.result}
            for one in account.attempts
        ],
    }


def delete_account(account: Account) -> None:
    """Delete an account with its encodings and attempts.

    Raises:
        RuntimeError: If a row of it is left.
    """
    number = account.id
    db.session.delete(account)
    db.session.commit()
    left = [
        db.session.scalar(select(func.count()).where(column == number))
        for column in (Account.id, Encoding.account_id, Attempt.account_id)
    ]
    if any(left):
        raise RuntimeError(f"Expected nothing left of account {number}. Left: {left}")
    logger.info("account %d: deleted", number)
