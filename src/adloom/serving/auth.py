"""
Who may ask: bearer tokens, kept as hashes in a file that is read again when it changes.

A line of the file is a token's name, its scopes, the sha256 of the token and, if it is limited, its rate:

    bidder decide,feedback sha256:9f86d081884c7d65… 2000/s

A token is 256 random bits, which nobody can guess from a hash, however fast that is computed; a slow hash protects
passwords that people choose, and would cost milliseconds with every request.
"""

import hashlib
import hmac
import logging
import math
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Literal, get_args

from adloom.errors import ParamsError
from adloom.serving.problems import Problem
from adloom.settings import Settings

Access = Literal["decide", "feedback", "admin"]
SCOPES: tuple[Access, ...] = get_args(Access)
MET = 1000  # headers that are kept
LOOK = 1.0  # seconds between two looks at whether the file has changed
LINE = re.compile(
    r"(?P<name>[\w.-]{1,64})\s+(?P<scopes>[a-z,]+)\s+sha256:(?P<sha256>[0-9a-f]{64})(\s+(?P<rate>\d+)/s)?"
)
ADVICE = (
    "`adloom token NAME --scopes decide,feedback --file tokens` makes one and ADLOOM_TOKENS_FILE=tokens names the "
    "file; ADLOOM_AUTH=off lets anybody ask"
)

logger = logging.getLogger(__name__)


@dataclass
class Token:
    """A token that is known by its hash, and how much of its rate is left."""

    name: str
    scopes: frozenset[str]
    digest: bytes  # sha256 of the token
    rate: float = math.inf  # requests a second, as many of which may come at once
    _left: float = field(init=False, compare=False)
    _at: float = field(init=False, compare=False, default=0.0)

    def __post_init__(self) -> None:
        self._left = self.rate

    def spend(self, now: float) -> float:
        """Count a request at a time; return 0, or the seconds until there will be room for it."""
        self._left = min(self.rate, self._left + (now - self._at) * self.rate)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self.rate
        self._left -= 1
        return 0.0


class Auth:
    """The tokens of a file; `workers` processes share each one's rate."""

    def __init__(self, path: Path, workers: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file. Raises ParamsError when it holds no tokens."""
        self._path, self._workers, self._clock = path, workers, clock
        self._looked = clock()
        self._stamp = _stamp(path)
        self._tokens = {token.digest: token for token in read(path, workers)}
        self._met: dict[bytes, Token] = {}  # headers that were right, as they came

    def admit(self, authorization: bytes | None, scope: Access) -> None:
        """Raise Problem unless a request with this header may do this: 401, 403, or 429 over the token's rate."""
        now = self._clock()
        if now - self._looked > LOOK:
            self._look(now)
        token = self._met.get(authorization or b"") or self._known(authorization or b"")
        if scope not in token.scopes:
            raise Problem(HTTPStatus.FORBIDDEN, "not allowed")
        if token.rate != math.inf and (wait := token.spend(now)):
            after = {"Retry-After": str(math.ceil(wait))}
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "over the rate of this token", headers=after)

    def _known(self, authorization: bytes) -> Token:
        """
        Return the token of a header. Raises Problem when there is none.

        Who guesses cannot choose the digest of a guess, nor the hash under which a header is kept that was right: the
        time that either look takes tells nothing about the tokens that are known.
        """
        kind, _, given = authorization.partition(b" ")
        digest = hashlib.sha256(given).digest()
        token = self._tokens.get(digest)
        if token is None or not hmac.compare_digest(token.digest, digest) or kind.lower() != b"bearer":
            raise Problem(HTTPStatus.UNAUTHORIZED, "not allowed", headers={"WWW-Authenticate": "Bearer"})
        if len(self._met) < MET:
            self._met[authorization] = token
        return token

    def _look(self, now: float) -> None:
        """Read the file again if it changed; one that cannot be read leaves the tokens as they are."""
        self._looked = now
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            found = read(self._path, self._workers)
        except ParamsError as error:
            logger.error("%s; the tokens read last stay", error)
            return
        known = self._tokens
        same = {token.digest: known[token.digest] for token in found if token == known.get(token.digest)}
        self._met = {}
        self._tokens = {token.digest: token for token in found} | same  # what is spent of a rate stays spent
        logger.warning("%s: read again, %d tokens", self._path, len(found))


class Open:
    """Anybody may ask anything."""

    def admit(self, authorization: bytes | None, scope: Access) -> None:
        """Do nothing."""


def build(settings: Settings, workers: int = 1) -> Auth | Open:
    """Return what the environment says. Raises ParamsError when it neither names tokens nor says `off`."""
    if settings.auth == "off":
        return Open()
    if settings.tokens_file is None:
        raise ParamsError(f"no tokens, so nobody could ask: {ADVICE}")
    return Auth(settings.tokens_file, workers)


def read(path: Path, workers: int = 1) -> list[Token]:
    """Read a file of tokens. Raises ParamsError naming the line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"tokens file {path}: {error}") from None
    found = [_token(line, f"{path}:{i}", workers) for i, line in enumerate(lines, 1) if line.partition("#")[0].strip()]
    if not found:
        raise ParamsError(f"tokens file {path}: no token in it; {ADVICE}")
    digests = Counter(token.digest for token in found)
    if twice := [token.name for token in found if digests[token.digest] > 1]:
        raise ParamsError(f"tokens file {path}: {' and '.join(twice)} are one token; leave one of these lines")
    return found


def add(path: Path, name: str, scopes: Iterable[str], rate: int | None = None) -> str:
    """Make a token, append its line to a file that only its owner may read, and return it. Raises ParamsError."""
    token = secrets.token_urlsafe(32)
    sha256 = hashlib.sha256(token.encode()).hexdigest()
    line = f"{name} {','.join(scopes)} sha256:{sha256}" + (f" {rate}/s" if rate else "")
    _token(line, name, 1)
    path.touch(mode=0o600)
    if path.stat().st_size and name in {known.name for known in read(path)}:
        raise ParamsError(f"tokens file {path}: {name} has a token; choose another name, or take its line out")
    ended = path.read_bytes()[-1:] in (b"", b"\n")  # people may leave a last line without an end
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n" if ended else f"\n{line}\n")
    return token


def _token(line: str, where: str, workers: int) -> Token:
    """Parse a line. Raises ParamsError."""
    found = LINE.fullmatch(line.partition("#")[0].strip())
    if found is None:
        raise ParamsError(f"{where}: not a token; expected NAME SCOPE,SCOPE sha256:<64 hex digits> [N/s]")
    scopes = found["scopes"].split(",")
    if unknown := set(scopes) - set(SCOPES):
        raise ParamsError(f"{where}: scope {sorted(unknown)[0]!r}, expected of {', '.join(SCOPES)}")
    if found["rate"] and not int(found["rate"]):
        raise ParamsError(f"{where}: a rate of 0 lets nobody ask; take the line out")
    rate = max(int(found["rate"]) / workers, 1) if found["rate"] else math.inf
    return Token(found["name"], frozenset(scopes), bytes.fromhex(found["sha256"]), rate)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
