"""Who may ask: which tokens are let in, for what and how often, and what a file that changes does."""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from adloom.cli import cli
from adloom.errors import ParamsError
from adloom.serving import auth
from adloom.serving.auth import Access, Auth
from adloom.serving.problems import Problem
from adloom.settings import Settings


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def header(token: str) -> bytes:
    return f"Bearer {token}".encode()


def status(ask: Callable[[], None]) -> int:
    try:
        ask()
    except Problem as problem:
        return int(problem.status)
    return 200


def asked(tokens: Auth, authorization: bytes | None, scope: Access = "decide") -> int:
    return status(lambda: tokens.admit(authorization, scope))


def test_a_token_may_do_what_its_scopes_say(path: Path) -> None:
    bidder, operator = auth.add(path, "bidder", ["decide"]), auth.add(path, "operator", ["admin", "feedback"])
    tokens = Auth(path)
    assert [asked(tokens, header(bidder), scope) for scope in auth.SCOPES] == [200, 403, 403]
    assert [asked(tokens, header(operator), scope) for scope in auth.SCOPES] == [403, 200, 200]


def test_the_file_holds_hashes_and_only_its_owner_reads_it(path: Path) -> None:
    token = auth.add(path, "bidder", ["decide"], rate=20)
    assert path.read_text() == f"bidder decide sha256:{hashlib.sha256(token.encode()).hexdigest()} 20/s\n"
    assert len(token) >= 43  # 256 bits
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "given", [None, b"", b"Bearer", b"Bearer ", b"Bearer wrong", b"Basic %b", b"%b", b"bearer  %b"]
)
def test_strangers_are_told_nothing(path: Path, given: bytes | None) -> None:
    token = auth.add(path, "bidder", ["decide"]).encode()
    authorization = given.replace(b"%b", token) if given else given
    with pytest.raises(Problem) as raised:
        Auth(path).admit(authorization, "decide")
    assert (raised.value.status, raised.value.detail) == (401, "not allowed")
    assert raised.value.headers == {"WWW-Authenticate": "Bearer"}


def test_a_forbidden_scope_is_told_nothing_either(path: Path) -> None:
    token = header(auth.add(path, "bidder", ["decide"]))
    with pytest.raises(Problem) as raised:
        Auth(path).admit(token, "admin")
    assert (raised.value.status, raised.value.detail) == (403, "not allowed")


def test_the_scheme_is_read_in_any_case(path: Path) -> None:
    token = auth.add(path, "bidder", ["decide"])
    assert asked(Auth(path), f"bearer {token}".encode()) == 200


def test_a_rate_worked_by_hand(path: Path, clock: Clock) -> None:
    token = header(auth.add(path, "slow", ["decide"], rate=4))
    tokens = Auth(path, clock=clock)
    assert [asked(tokens, token) for _ in range(6)] == [200] * 4 + [429] * 2
    clock.now += 0.5  # two more
    assert [asked(tokens, token) for _ in range(3)] == [200, 200, 429]
    clock.now += 3600
    assert [asked(tokens, token) for _ in range(5)] == [200] * 4 + [429]
    with pytest.raises(Problem) as raised:
        tokens.admit(token, "decide")
    assert raised.value.headers == {"Retry-After": "1"}


def test_processes_share_a_rate(path: Path, clock: Clock) -> None:
    token = header(auth.add(path, "slow", ["decide"], rate=4))
    tokens = Auth(path, workers=2, clock=clock)
    assert [asked(tokens, token) for _ in range(3)] == [200, 200, 429]


def test_a_changed_file_is_read_again_and_what_is_spent_stays_spent(path: Path, clock: Clock) -> None:
    old, slow = header(auth.add(path, "old", ["decide"])), header(auth.add(path, "slow", ["decide"], rate=2))
    tokens = Auth(path, clock=clock)
    assert [asked(tokens, token) for token in (old, slow, slow)] == [200, 200, 200]
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "slow" in line))
    new = header(auth.add(path, "new", ["decide"]))
    assert asked(tokens, new) == 401  # it has not looked yet
    clock.now += auth.LOOK + 0.001
    tokens._tokens[hashlib.sha256(slow.removeprefix(b"Bearer ")).digest()]._at = clock.now  # no time to refill
    assert [asked(tokens, token) for token in (new, old, slow)] == [200, 401, 429]


def test_a_file_that_becomes_bad_or_vanishes_leaves_the_tokens(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    token = header(auth.add(path, "bidder", ["decide"]))
    tokens = Auth(path, clock=clock)
    for change in (lambda: path.write_text("nonsense\n"), path.unlink):
        change()
        clock.now += 2
        assert asked(tokens, token) == 200
        clock.now += 2
        assert asked(tokens, token) == 200
    assert caplog.text.count("the tokens read last stay") == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("bidder decide", ":1: not a token"),
        (f"bidder decide sha256:{'0' * 63}", ":1: not a token"),
        (f"bidder decide,steer sha256:{'0' * 64}", ":1: scope 'steer', expected of decide, feedback, admin"),
        (f"bidder decide sha256:{'0' * 64} 5", ":1: not a token"),
        ("# nobody", "no token in it"),
        ("\xff", ":1: not a token"),
    ],
)
def test_lines_that_are_no_tokens_are_named(path: Path, line: str, said: str) -> None:
    path.write_text(line + "\n")
    with pytest.raises(ParamsError, match=said):
        Auth(path)


def test_comments_and_empty_lines(path: Path) -> None:
    token = auth.add(path, "bidder", ["decide"])
    path.write_text(f"# who may ask\n\n{path.read_text().strip()}   # since May\n")
    assert asked(Auth(path), header(token)) == 200
    assert auth.read(path)[0].rate == math.inf


def test_without_tokens_nothing_is_served_unless_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="ADLOOM_AUTH=off lets anybody ask"):
        auth.build(Settings(auth=None, tokens_file=None))
    with pytest.raises(ParamsError, match=r"tokens file .*: .*No such file"):
        auth.build(Settings(auth=None, tokens_file=tmp_path / "none"))
    assert isinstance(auth.build(Settings(auth="off", tokens_file=None)), auth.Open)


def test_the_command_prints_the_token_once_and_refuses_a_name_twice(path: Path) -> None:
    run = CliRunner().invoke(cli, ["token", "bidder", "--file", str(path), "--rate", "5"])
    assert asked(Auth(path), header(run.stdout.strip())) == 200
    again = CliRunner().invoke(cli, ["token", "bidder", "--file", str(path)])
    assert isinstance(again.exception, ParamsError)
    assert "bidder has a token" in str(again.exception)
    wrong = CliRunner().invoke(cli, ["token", "x", "--scopes", "all", "--file", str(path)])
    assert "scope 'all'" in str(wrong.exception)
    assert len(auth.read(path)) == 1
