"""Parse a camera's URL and keep its password out of messages.

A message about a bad address says what is wrong but repeats no part of the address:
in a malformed one, nobody can tell where the password ends.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from liveness.errors import SourceError

SCHEMES = ("http", "https", "rtsp", "rtsps")
EXPECTED_URL = "expected something like http://192.168.83.33:8080"
ESCAPES = "write %40 for @, %2F for /, %3F for ? and %23 for # in user and password"

_SAFE = "/%:;=,+~@!$&'()*"  # characters of a path that are not escaped
# A path may contain a login from here on: /user=admin_password=word_channel=1
_LOGIN_IN_PATH = re.compile(r"[?;=&@%].*", re.DOTALL)


@dataclass(frozen=True)
class Address:
    """A parsed camera URL; ``name`` and ``repr`` do not contain the credentials."""

    scheme: str
    host: str
    port: int | None
    target: str  # path and query as sent in the request
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The URL without credentials and query, safe for messages and logs."""
        return self.name_of(self.target)

    @property
    def secret_url(self) -> str:
        """The URL with the credentials, for FFmpeg; never print it."""
        login = ""
        if self.user is not None:
            login = f"{quote(self.user, '')}:{quote(self.password or '', '')}@"
        return f"{self.scheme}://{login}{self._authority}{self.target}"

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """Scheme, host and port, which are equal for all URLs of one server."""
        default = {"http": 80, "https": 443}.get(self.scheme)
        return self.scheme, self.host, self.port or default

    def name_of(self, target: str) -> str:
        """Return the ``name`` of another path on this server."""
        return f"{self.scheme}://{self._authority}{_LOGIN_IN_PATH.sub('', target)}"

    def url_of(self, target: str) -> str:
        """Return the URL of another path here, without credentials."""
        return f"{self.scheme}://{self._authority}{target}"

    @property
    def _authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


def parse_address(
    url: str, *, user: str | None = None, password: str | None = None
) -> Address:
    """Parse a camera's URL.

    Args:
        url: http, https, rtsp or rtsps URL; it may contain ``user:password@``.
        user: Login name; overrides the one in the URL.
        password: Password of the user.

    Raises:
        SourceError: If the URL is not valid; the message contains no part of it.
    """
    url = url.strip()
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        raise _bad(f"it starts with none of {', '.join(f'{s}://' for s in SCHEMES)}")
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        raise _bad("it contains a space: write %20")
    if re.search("[/?#].*@", rest):  # part of a password, or of a path?
        raise _bad(f"it contains an @ after a /, ? or #: {ESCAPES}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError:
        raise _bad("its host or port is not valid") from None
    if not host:
        raise _bad("it has no host")
    if not re.fullmatch(r"[\w.-]+", host) and ":" not in host:
        raise _bad("its host or port is not valid")
    target = quote(parts.path, _SAFE) or "/"
    if parts.query:
        target += "?" + quote(parts.query, _SAFE + "?")
    if user is None and parts.username is not None:
        user = unquote(parts.username)
        password = unquote(parts.password or "") if password is None else password
    return Address(parts.scheme, host, port, target, user, password)


def _bad(reason: str) -> SourceError:
    return SourceError(f"bad camera address: {reason}; {EXPECTED_URL}")
