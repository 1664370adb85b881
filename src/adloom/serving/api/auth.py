"""
Authentication: bearer tokens, whose hashes are in a file that a thread reads again and again.

Only tokens in the file pass. While it cannot be read, the tokens read last pass for a grace period, and then none.
"""

import hashlib
import hmac
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path

from adloom.config.settings import Settings
from adloom.errors import ConfigError
from adloom.serving.api import tokens
from adloom.serving.api.problems import Problem
from adloom.serving.api.tokens import SCOPES, Access, Token, TokensFile, add

__all__ = ["SCOPES", "Access", "NoAuth", "TokenAuth", "add", "build"]

MET = 1000  # headers that are kept
LOOK = 1.0  # seconds between two readings of the file
LATE = 3.0  # seconds without a reading after which the file is unreadable, also where reading it hangs
ADVICE = (
    "`adloom token NAME --scopes decide,feedback --file tokens` makes one and ADLOOM_TOKENS_FILE=tokens names the "
    "file; ADLOOM_AUTH=off lets anybody ask"
)
CLOSED = "the tokens file cannot be read, so nobody may ask; the service's log says why"

logger = logging.getLogger(__name__)


class _Known:
    """The tokens of one reading of the file."""

    def __init__(self, found: Iterable[Token]) -> None:
        self.by_digest = {token.digest: token for token in found}
        self._met: dict[bytes, Token] = {}  # headers that were right, as they came

    def find(self, authorization: bytes) -> Token:
        """
        Return the token of a header. Raises Problem when there is none.

        Who guesses cannot choose the digest of a guess, nor the hash under which a header is kept that was right: the
        time that either look takes tells nothing about the tokens that are known.
        """
        if (met := self._met.get(authorization)) is not None:
            return met
        kind, _, given = authorization.partition(b" ")
        digest = hashlib.sha256(given).digest()
        token = self.by_digest.get(digest)
        if token is None or not hmac.compare_digest(token.digest, digest) or kind.lower() != b"bearer":
            raise Problem(HTTPStatus.UNAUTHORIZED, "not allowed", headers={"WWW-Authenticate": "Bearer"})
        if len(self._met) < MET:
            self._met[authorization] = token
        return token


class TokenAuth:
    """The tokens of a file; `workers` processes share each one's rate."""

    def __init__(
        self, path: Path, workers: int = 1, grace: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the file. Raises ConfigError when it holds no tokens."""
        self._path, self._workers, self._grace, self._clock = path, workers, grace, clock
        self._read_at = clock()
        found = tokens.read(path, workers)
        if not found.tokens:
            raise ConfigError("; ".join([*found.warnings, f"tokens file {path}: no token in it; {ADVICE}"]))
        self._known = _Known(found.tokens)
        self._told: tuple[str, ...] = ()  # what the last reading had to say
        self._tell(found.warnings)
        self._stop = threading.Event()

    @property
    def is_unreadable(self) -> bool:
        """Whether the file cannot be read at the moment."""
        return self._clock() - self._read_at > LATE

    @property
    def is_closed(self) -> bool:
        """Whether the file could not be read for so long that no token passes any more."""
        return self._clock() - self._read_at > self._grace

    def start(self) -> None:
        """Read the file again and again from now on, in a thread."""
        self._stop = threading.Event()
        threading.Thread(target=self._follow, args=(self._stop,), name="tokens", daemon=True).start()

    def close(self) -> None:
        """Read it no more; nothing waits for a reading that hangs."""
        self._stop.set()

    def admit(self, authorization: bytes | None, scope: Access) -> None:
        """Raise Problem unless a request with this header may do this: 401, 403, 429 over the token's rate, or 503."""
        now = self._clock()
        if now - self._read_at > self._grace:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, CLOSED, headers={"Retry-After": "10"})
        token = self._known.find(authorization or b"")
        if scope not in token.scopes:
            raise Problem(HTTPStatus.FORBIDDEN, "not allowed")
        if token.rate != math.inf and (wait := token.spend(now)):
            after = {"Retry-After": str(math.ceil(wait))}
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "over the rate of this token", headers=after)

    def look(self) -> None:
        """Read the file; from now on its tokens pass, and no others."""
        begun = self._clock()
        try:
            found = tokens.read(self._path, self._workers)
        except ConfigError as error:
            self._tell((f"{error}; the tokens read last pass for {self._grace:.0f} s, then none",))
            return
        self._read_at = begun
        self._take(found)

    def _take(self, found: TokensFile) -> None:
        known = self._known.by_digest
        none = () if found.tokens else (f"tokens file {self._path}: no token in it, so nobody may ask",)
        if {token.digest: token for token in found.tokens} != known:
            # a token that did not change stays the same object: what is spent of its rate stays spent
            same = [known[token.digest] if known.get(token.digest) == token else token for token in found.tokens]
            self._known = _Known(same)
            logger.warning("%s: read again, %d tokens", self._path, len(same))
        self._tell((*found.warnings, *none))

    def _tell(self, warnings: tuple[str, ...]) -> None:
        """Log what was not said at the last reading."""
        for warning in warnings:
            if warning not in self._told:
                logger.error("%s", warning)
        self._told = warnings

    def _follow(self, stop: threading.Event) -> None:
        while not stop.wait(LOOK):
            self.look()


class NoAuth:
    """Anybody may ask anything."""

    is_unreadable = is_closed = False

    def start(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def admit(self, authorization: bytes | None, scope: Access) -> None:
        """Do nothing."""


def build(settings: Settings, workers: int = 1) -> TokenAuth | NoAuth:
    """Return what the environment says. Raises ConfigError when it neither names tokens nor says `off`."""
    if settings.auth == "off":
        return NoAuth()
    if settings.tokens_file is None:
        raise ConfigError(f"no tokens, so nobody could ask: {ADVICE}")
    return TokenAuth(settings.tokens_file, workers, settings.tokens_grace_seconds)
