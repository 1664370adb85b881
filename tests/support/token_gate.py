"""A tokens file with a controllable clock."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from adloom.serving.api.auth import Access, TokenAuth
from adloom.serving.api.problems import Problem


class Clock:
    """A clock that tests advance."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Gate:
    """A tokens file and its clock."""

    path: Path
    clock: Clock
    auth: TokenAuth

    def status(self, token: str | None, scope: Access = "decide", kind: str = "Bearer") -> int:
        try:
            self.auth.admit(None if token is None else f"{kind} {token}".encode(), {scope})
        except Problem as problem:
            return problem.status
        return 200

    def later(self, seconds: float) -> "Gate":
        """Advance the clock and let the watcher thread read the file once."""
        self.clock.now += seconds
        self.auth.reload()
        return self

    def rewrite(self, text: str) -> None:
        """Replace the file atomically, like an editor."""
        replacement = self.path.with_suffix(".new")
        replacement.write_text(text, encoding="utf-8")
        replacement.chmod(0o600)
        replacement.replace(self.path)


def line(name: str, token: str, scopes: str = "decide", rate: str = "") -> str:
    return f"{name} {scopes} sha256:{hashlib.sha256(token.encode()).hexdigest()} {rate}\n"


def gate(path: Path, text: str, workers: int = 1) -> Gate:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    clock = Clock()
    return Gate(path, clock, TokenAuth(path, workers, clock=clock))
