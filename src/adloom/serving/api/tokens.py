"""
The tokens file. A line is a token's name, its scopes, the sha256 of the token and, if it is limited, its rate:

    bidder decide,feedback sha256:9f86d081884c7d65… 2000/s

A token is 256 random bits, which nobody can guess from a hash, however fast that is computed; a slow hash protects
passwords that people choose, and would cost milliseconds with every request.
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

Access = Literal["decide", "feedback", "trigger", "admin"]
SCOPES: tuple[Access, ...] = get_args(Access)
MAX_RATE = 1_000_000_000  # requests a second
MODE = 0o640  # the widest that is not warned of
LINE = re.compile(
    r"(?P<name>[\w.-]{1,64})\s+(?P<scopes>[a-z,]+)\s+sha256:(?P<sha256>[0-9a-f]{64})(\s+(?P<rate>[0-9]+)/s)?"
)


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


@dataclass(frozen=True)
class TokensFile:
    """What a tokens file holds."""

    tokens: tuple[Token, ...]
    warnings: tuple[str, ...]  # what is wrong with the file, and which lines are left out


def read(path: Path, workers: int = 1) -> TokensFile:
    """
    Read a tokens file; a line that is wrong is left out, and said.

    `workers` processes share each token's rate. Raises ConfigError when the file cannot be read.
    """
    try:
        text, mode = files.read_secret_text(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"tokens file {path}: {files.failure_reason(error)}") from None
    warnings = [f"tokens file {path}: mode {mode:04o}, expected {MODE:04o} or less; `chmod 640 {path}`"]
    tokens, wrong = _parse(text.splitlines(), path, workers)
    return TokensFile(tuple(tokens), (*(warnings if mode & ~MODE else []), *wrong))


def add(path: Path, name: str, scopes: Iterable[str], rate: int | None = None) -> str:
    """Make a token, append its line to a file that only its owner may read, and return it. Raises ConfigError."""
    token = secrets.token_urlsafe(32)
    sha256 = hashlib.sha256(token.encode()).hexdigest()
    line = f"{name} {','.join(scopes)} sha256:{sha256}" + (f" {rate}/s" if rate else "")
    _token(line, name, 1)
    path.touch(mode=0o600)
    if name in {known.name for known in read(path).tokens}:
        raise ConfigError(f"tokens file {path}: {name} has a token; choose another name, or take its line out")
    ended = path.read_bytes()[-1:] in (b"", b"\n")  # people may leave a last line without an end
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n" if ended else f"\n{line}\n")
    return token


def _parse(lines: Iterable[str], path: Path, workers: int) -> tuple[list[Token], list[str]]:
    """Return the tokens of lines, and what is wrong with those that are left out."""
    tokens, wrong = [], []
    for number, line in enumerate(lines, 1):
        if line.partition("#")[0].strip():
            try:
                tokens.append(_token(line, f"{path}:{number}", workers))
            except ConfigError as error:
                wrong.append(f"{error}; the line is left out")
    digests = Counter(token.digest for token in tokens)
    if twice := [token.name for token in tokens if digests[token.digest] > 1]:
        wrong.append(f"tokens file {path}: {' and '.join(twice)} are one token, which is left out; leave one of them")
    return [token for token in tokens if digests[token.digest] == 1], wrong


def _token(line: str, where: str, workers: int) -> Token:
    """Parse a line. Raises ConfigError."""
    found = LINE.fullmatch(line.partition("#")[0].strip())
    if found is None:
        raise ConfigError(f"{where}: not a token; expected NAME SCOPE,SCOPE sha256:<64 hex digits> [N/s]")
    scopes = found["scopes"].split(",")
    if unknown := set(scopes) - set(SCOPES):
        raise ConfigError(f"{where}: scope {sorted(unknown)[0]!r}, expected of {', '.join(SCOPES)}")
    return Token(
        found["name"], frozenset(scopes), bytes.fromhex(found["sha256"]), _rate(found["rate"], where) / workers
    )


def _rate(digits: str | None, where: str) -> float:
    """Return the requests a second that a line allows. Raises ConfigError."""
    if digits is None:
        return math.inf
    if len(digits) > len(str(MAX_RATE)) or not 1 <= int(digits) <= MAX_RATE:
        raise ConfigError(f"{where}: a rate of {digits[:12]}/s, expected 1 to {MAX_RATE}")
    return float(digits)
