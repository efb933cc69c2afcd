"""A camera's URL, taken apart so that its password is never shown.

Messages about a bad address say what is wrong with it and repeat no part of it: where
a password ends is not known in an address that is not one.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from liveness.errors import SourceError

SCHEMES = ("http", "https", "rtsp", "rtsps")
EXPECTED_URL = "expected something like http://192.168.83.33:8080"
ESCAPES = "write %40 for @, %2F for /, %3F for ? and %23 for # in user and password"

_SAFE = "/%:;=,+~@!$&'()*"  # signs that a path keeps as they are
# From here on a path may hold a login of its own: /user=admin_password=word_channel=1
_LOGIN_IN_PATH = re.compile(r"[?;=&@%].*", re.DOTALL)


@dataclass(frozen=True)
class Address:
    """A camera's URL taken apart, with the credentials kept out of its name."""

    scheme: str
    host: str
    port: int | None
    target: str  # path and query as they are requested
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The URL without credentials and query: fit for messages and logs."""
        return self.name_of(self.target)

    @property
    def secret_url(self) -> str:
        """The URL with the credentials in it, for FFmpeg; never print it."""
        login = ""
        if self.user is not None:
            login = f"{quote(self.user, '')}:{quote(self.password or '', '')}@"
        return f"{self.scheme}://{login}{self._authority}{self.target}"

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """What two URLs of one server have in common."""
        default = {"http": 80, "https": 443}.get(self.scheme)
        return self.scheme, self.host, self.port or default

    def name_of(self, target: str) -> str:
        """As ``name``, of another path and query on this server."""
        return f"{self.scheme}://{self._authority}{_LOGIN_IN_PATH.sub('', target)}"

    def url_of(self, target: str) -> str:
        """URL of another path and query on this server, without credentials."""
        return f"{self.scheme}://{self._authority}{target}"

    @property
    def _authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


def parse_address(
    url: str, *, user: str | None = None, password: str | None = None
) -> Address:
    """Take a camera's URL apart.

    Args:
        url: http, https, rtsp or rtsps; may carry ``user:password@``.
        user: Login name; wins over the one in the URL.
        password: Its password.

    Raises:
        SourceError: If it is not such a URL; the message holds no part of it.
    """
    url = url.strip()
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        raise _bad(f"it begins with none of {', '.join(f'{s}://' for s in SCHEMES)}")
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        raise _bad("it has a blank, which is written %20")
    if re.search("[/?#].*@", rest):  # of a password, or of a path?
        raise _bad(f"it has an @ behind a /, ? or #: {ESCAPES}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError:
        raise _bad("its host or port cannot be read") from None
    if not host:
        raise _bad("it has no host")
    if not re.fullmatch(r"[\w.-]+", host) and ":" not in host:
        raise _bad("its host or port cannot be read")
    target = quote(parts.path, _SAFE) or "/"
    if parts.query:
        target += "?" + quote(parts.query, _SAFE + "?")
    if user is None and parts.username is not None:
        user = unquote(parts.username)
        password = unquote(parts.password or "") if password is None else password
    return Address(parts.scheme, host, port, target, user, password)


def _bad(reason: str) -> SourceError:
    return SourceError(f"bad camera address: {reason}; {EXPECTED_URL}")
