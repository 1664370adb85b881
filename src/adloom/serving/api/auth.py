"""Authentication by bearer tokens, from a file of hashes that is read periodically."""

import hashlib
import hmac
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Set
from http import HTTPStatus
from pathlib import Path

from adloom.config.settings import Settings
from adloom.errors import ConfigError
from adloom.serving.api import tokens
from adloom.serving.api.problems import Problem
from adloom.serving.api.tokens import SCOPES, Access, Token, TokensFile, add_token

__all__ = ["SCOPES", "Access", "NoAuth", "TokenAuth", "add_token", "create_auth"]

MAX_CACHED = 1000  # headers
READ_INTERVAL = 1.0  # seconds
UNREADABLE_AFTER = 3.0  # seconds without a successful read, also when reading hangs
ADVICE = (
    "`adloom token NAME --scopes decide,feedback --file tokens` creates one and ADLOOM_TOKENS_FILE=tokens names the "
    "file; ADLOOM_AUTH=off allows everyone"
)
CLOSED = "the tokens file cannot be read, so no token is valid; the service's log says why"

logger = logging.getLogger(__name__)


class _TokenIndex:
    def __init__(self, tokens: Iterable[Token]) -> None:
        self.by_digest = {token.digest: token for token in tokens}
        self._cache: dict[bytes, Token] = {}  # by valid header

    def find(self, authorization: bytes) -> Token:
        """Return the token of a header. Raises Problem (401). Neither lookup's time reveals a token."""
        if (cached := self._cache.get(authorization)) is not None:
            return cached
        scheme, _, secret = authorization.partition(b" ")
        digest = hashlib.sha256(secret).digest()
        token = self.by_digest.get(digest)
        if token is None or not hmac.compare_digest(token.digest, digest) or scheme.lower() != b"bearer":
            raise Problem(HTTPStatus.UNAUTHORIZED, "not allowed", headers={"WWW-Authenticate": "Bearer"})
        if len(self._cache) < MAX_CACHED:
            self._cache[authorization] = token
        return token


class TokenAuth:
    """Authentication by a tokens file; `workers` processes share each rate."""

    def __init__(
        self, path: Path, workers: int = 1, grace: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the file. Raises ConfigError when it has no tokens."""
        self._path, self._workers, self._grace, self._clock = path, workers, grace, clock
        self._read_at = clock()
        file = tokens.read(path, workers)
        if not file.tokens:
            raise ConfigError("; ".join([*file.warnings, f"tokens file {path}: no token in it; {ADVICE}"]))
        self._index = _TokenIndex(file.tokens)
        self._warnings: tuple[str, ...] = ()  # of the last read
        self._warn(file.warnings)
        self._stop = threading.Event()

    @property
    def is_unreadable(self) -> bool:
        """Whether the file cannot be read."""
        return self._clock() - self._read_at > UNREADABLE_AFTER

    @property
    def is_closed(self) -> bool:
        """Whether the grace period is over."""
        return self._clock() - self._read_at > self._grace

    def start(self) -> None:
        """Start reading the file periodically."""
        self._stop = threading.Event()
        threading.Thread(target=self._run, args=(self._stop,), name="tokens", daemon=True).start()

    def close(self) -> None:
        """Stop reading, without waiting."""
        self._stop.set()

    def admit(self, authorization: bytes | None, access: Set[Access]) -> None:
        """Raise Problem unless a header has a token with one of these scopes, and within its rate."""
        now = self._clock()
        if now - self._read_at > self._grace:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, CLOSED, headers={"Retry-After": "10"})
        token = self._index.find(authorization or b"")
        if token.scopes.isdisjoint(access):
            raise Problem(HTTPStatus.FORBIDDEN, "not allowed")
        if token.rate != math.inf and (wait := token.spend(now)):
            retry = {"Retry-After": str(math.ceil(wait))}
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "over the rate of this token", headers=retry)

    def find_name(self, authorization: bytes) -> str:
        """Return the name of a header's token. Raises Problem (401)."""
        return self._index.find(authorization).name

    def has_scope(self, authorization: bytes, scope: Access) -> bool:
        """Return whether a header's token has a scope. Raises Problem (401)."""
        return scope in self._index.find(authorization).scopes

    def reload(self) -> None:
        """Read the file and replace the tokens."""
        start = self._clock()
        try:
            file = tokens.read(self._path, self._workers)
        except ConfigError as error:
            self._warn((f"{error}; the last tokens stay valid for {self._grace:.0f} s, then none",))
            return
        self._read_at = start
        self._replace_tokens(file)

    def _replace_tokens(self, file: TokensFile) -> None:
        before = self._index.by_digest
        if {token.digest: token for token in file.tokens} != before:
            # an unchanged token stays the same object, with the rest of its rate
            kept = [before[token.digest] if before.get(token.digest) == token else token for token in file.tokens]
            self._index = _TokenIndex(kept)
            logger.warning("%s: read again, %d tokens", self._path, len(kept))
        empty = () if file.tokens else (f"tokens file {self._path}: no token in it, so no request is allowed",)
        self._warn((*file.warnings, *empty))

    def _warn(self, warnings: tuple[str, ...]) -> None:
        """Log warnings that the last read did not have."""
        for warning in warnings:
            if warning not in self._warnings:
                logger.error("%s", warning)
        self._warnings = warnings

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(READ_INTERVAL):
            self.reload()


class NoAuth:
    """Authentication is off."""

    is_unreadable = is_closed = False

    def start(self) -> None:
        """Start reading the file periodically."""

    def close(self) -> None:
        """Stop reading, without waiting."""

    def admit(self, authorization: bytes | None, access: Set[Access]) -> None:
        """Raise Problem unless a header has a token with one of these scopes, and within its rate."""

    def find_name(self, authorization: bytes) -> str:
        """Return the name of every client."""
        return "anonymous"

    def has_scope(self, authorization: bytes, scope: Access) -> bool:
        """Return True."""
        return True


def create_auth(settings: Settings, workers: int = 1) -> TokenAuth | NoAuth:
    """Return the configured authentication. Raises ConfigError without any."""
    if settings.auth == "off":
        return NoAuth()
    if settings.tokens_file is None:
        raise ConfigError(f"no tokens, so no request would be allowed: {ADVICE}")
    return TokenAuth(settings.tokens_file, workers, settings.tokens_grace_seconds)
