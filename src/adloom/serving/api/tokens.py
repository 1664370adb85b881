"""
The tokens file. A line has a name, scopes, a sha256 and optionally a rate limit:

    bidder decide,feedback sha256:9f86d081884c7d65… 2000/s

Tokens have 256 random bits, so a fast hash protects them.
"""

import hashlib
import math
import re
import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from adloom.errors import ConfigError
from adloom.storage import files

Access = Literal["decide", "feedback", "studio", "trigger", "admin"]
SCOPES: tuple[Access, ...] = get_args(Access)
MAX_RATE = 1_000_000_000  # requests a second
MAX_MODE = 0o640  # of the file; a wider one gives a warning
LINE = re.compile(
    r"(?P<name>[\w.-]{1,64})\s+(?P<scopes>[a-z,]+)\s+sha256:(?P<sha256>[0-9a-f]{64})(\s+(?P<rate>[0-9]+)/s)?"
)


@dataclass
class Token:
    """A token with a token bucket for its rate."""

    name: str
    scopes: frozenset[str]
    digest: bytes  # sha256 of the token
    rate: float = math.inf  # requests a second, which is also the burst
    _available: float = field(init=False, compare=False)
    _updated: float = field(init=False, compare=False, default=0.0)

    def __post_init__(self) -> None:
        self._available = self.rate

    def spend(self, now: float) -> float:
        """Count a request; return the seconds to wait if it is over the rate."""
        self._available = min(self.rate, self._available + (now - self._updated) * self.rate)
        self._updated = now
        if self._available < 1:
            return (1 - self._available) / self.rate
        self._available -= 1
        return 0.0


@dataclass(frozen=True)
class TokensFile:
    """The content of a tokens file."""

    tokens: tuple[Token, ...]
    warnings: tuple[str, ...]  # about the file and its invalid lines


def read(path: Path, workers: int = 1) -> TokensFile:
    """Read a tokens file and skip invalid lines; `workers` processes share each rate. Raises ConfigError."""
    try:
        text, mode = files.read_secret_text(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"tokens file {path}: {files.failure_reason(error)}") from None
    warnings = [f"tokens file {path}: mode {mode:04o}, expected {MAX_MODE:04o} or less; `chmod 640 {path}`"]
    tokens, errors = _parse(text.splitlines(), path, workers)
    return TokensFile(tuple(tokens), (*(warnings if mode & ~MAX_MODE else []), *errors))


def add_token(path: Path, name: str, scopes: Iterable[str], rate: int | None = None) -> str:
    """Create a token, append its hash to a private file, and return it. Raises ConfigError."""
    token = secrets.token_urlsafe(32)
    sha256 = hashlib.sha256(token.encode()).hexdigest()
    line = f"{name} {','.join(scopes)} sha256:{sha256}" + (f" {rate}/s" if rate else "")
    _parse_line(line, name, 1)
    path.touch(mode=0o600)
    if name in {known.name for known in read(path).tokens}:
        raise ConfigError(f"tokens file {path}: {name} has a token; choose another name, or remove its line")
    is_terminated = path.read_bytes()[-1:] in (b"", b"\n")  # editors may omit the last newline
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n" if is_terminated else f"\n{line}\n")
    return token


def _parse(lines: Iterable[str], path: Path, workers: int) -> tuple[list[Token], list[str]]:
    tokens, errors = [], []
    for number, line in enumerate(lines, 1):
        if line.partition("#")[0].strip():
            try:
                tokens.append(_parse_line(line, f"{path}:{number}", workers))
            except ConfigError as error:
                errors.append(f"{error}; the line is skipped")
    digests = Counter(token.digest for token in tokens)
    if duplicates := [token.name for token in tokens if digests[token.digest] > 1]:
        names = " and ".join(duplicates)
        errors.append(f"tokens file {path}: {names} are the same token, which is skipped; keep one of them")
    return [token for token in tokens if digests[token.digest] == 1], errors


def _parse_line(line: str, where: str, workers: int) -> Token:
    match = LINE.fullmatch(line.partition("#")[0].strip())
    if match is None:
        raise ConfigError(f"{where}: not a token; expected NAME SCOPE,SCOPE sha256:<64 hex digits> [N/s]")
    scopes = match["scopes"].split(",")
    if unknown := set(scopes) - set(SCOPES):
        raise ConfigError(f"{where}: scope {sorted(unknown)[0]!r}, expected of {', '.join(SCOPES)}")
    return Token(
        match["name"], frozenset(scopes), bytes.fromhex(match["sha256"]), _parse_rate(match["rate"], where) / workers
    )


def _parse_rate(digits: str | None, where: str) -> float:
    if digits is None:
        return math.inf
    if len(digits) > len(str(MAX_RATE)) or not 1 <= int(digits) <= MAX_RATE:
        raise ConfigError(f"{where}: a rate of {digits[:12]}/s, expected 1 to {MAX_RATE}")
    return float(digits)
