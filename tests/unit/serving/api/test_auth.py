"""Who may ask: tokens in a file, their scopes and rates, what is told to whom may not, and what a start demands."""

import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient
from tests.support.decision_logs import wait_until

from adloom.cli import main
from adloom.config.settings import Settings
from adloom.errors import ArtifactError, ConfigError
from adloom.serving import app, server
from adloom.serving.api import auth, tokens
from adloom.serving.api.auth import SCOPES, Access, NoAuth, TokenAuth
from adloom.serving.api.decide_schemas import DECIDE, FEEDBACK
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import REFRESH, SEGMENT
from adloom.serving.app import ServiceDependencies
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys

QUESTIONS: dict[str, dict[str, Any]] = {
    DECIDE: {"placement": "side", "candidates": ["a"]},
    FEEDBACK: {"decision_id": "0" * 32, "creative_id": "a", "kind": "click"},
    SEGMENT: {"users": ["1"]},
    REFRESH: {},
}
NEEDED: dict[str, Access] = {DECIDE: "decide", FEEDBACK: "feedback", SEGMENT: "decide", REFRESH: "admin"}


class Clock:
    """A clock that goes when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Gate:
    """Tokens of a file, and the clock they are read by."""

    path: Path
    clock: Clock
    auth: TokenAuth

    def status(self, token: str | None, scope: Access = "decide", kind: str = "Bearer") -> int:
        try:
            self.auth.admit(None if token is None else f"{kind} {token}".encode(), scope)
        except Problem as problem:
            return problem.status
        return 200

    def later(self, seconds: float) -> "Gate":
        """Let time pass and the thread that follows the file read it once."""
        self.clock.now += seconds
        self.auth.reload()
        return self

    def rewrite(self, text: str) -> None:
        """Replace the file as an editor does."""
        beside = self.path.with_suffix(".new")
        beside.write_text(text, encoding="utf-8")
        beside.chmod(0o600)
        beside.replace(self.path)


def line(name: str, token: str, scopes: str = "decide", rate: str = "") -> str:
    return f"{name} {scopes} sha256:{hashlib.sha256(token.encode()).hexdigest()} {rate}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_large(path: Path) -> None:
    path.write_bytes(bytes(2 << 20))


def make_binary(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")


def gate(path: Path, text: str, workers: int = 1) -> Gate:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    clock = Clock()
    return Gate(path, clock, TokenAuth(path, workers, clock=clock))


class TestHttp:
    @pytest.fixture
    def tokens(self, path: Path) -> dict[str, str]:
        return {scope: auth.add_token(path, f"for-{scope}", [scope]) for scope in SCOPES}

    @pytest.fixture
    def client(self, path: Path, tokens: dict[str, str]) -> Iterator[TestClient]:
        dependencies = ServiceDependencies(PseudonymKeys(None), auth=TokenAuth(path))
        with TestClient(app.create_decide_app(Models({}, {"audience": "gone"}), dependencies)) as client:
            yield client

    @pytest.mark.parametrize("endpoint", QUESTIONS)
    def test_each_scope_opens_its_own(self, client: TestClient, tokens: dict[str, str], endpoint: str) -> None:
        for scope, token in tokens.items():
            given = {"Authorization": f"Bearer {token}"}
            status = client.post(endpoint, json=QUESTIONS[endpoint], headers=given).status_code
            if scope == NEEDED[endpoint]:
                assert status == (503 if endpoint == SEGMENT else 200)  # there is no audience
            else:
                assert status == 403

    @pytest.mark.parametrize("endpoint", QUESTIONS)
    def test_who_is_sent_away_is_told_nothing(self, client: TestClient, tokens: dict[str, str], endpoint: str) -> None:
        known = next(token for scope, token in tokens.items() if scope != NEEDED[endpoint])
        own = tokens[NEEDED[endpoint]]
        digest = hashlib.sha256(own.encode()).hexdigest()
        guesses = [
            "",
            "Bearer",
            "Bearer ",
            "Bearer wrong",
            f"Bearer {digest}",
            f"Bearer {own[:-1]}",
            f"Basic {own}",
            f"Bearer  {own}",
        ]
        answers = [client.post(endpoint, json=QUESTIONS[endpoint])]
        answers += [client.post(endpoint, content=b"{", headers={"Authorization": guess}) for guess in guesses]
        assert {answer.status_code for answer in answers} == {401}
        assert len({answer.content for answer in answers}) == 1
        assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
        wrong_scope = client.post(endpoint, content=b"{", headers={"Authorization": f"Bearer {known}"})
        assert wrong_scope.status_code == 403
        assert wrong_scope.json()["detail"] == answers[0].json()["detail"] == "not allowed"
        assert wrong_scope.json().keys() == answers[0].json().keys()

    def test_probes_and_pages_need_no_token(self, client: TestClient) -> None:
        pages = ("/livez", "/readyz", "/v1/models", "/metrics", "/openapi.json")
        assert {client.get(page).status_code for page in pages} == {200}

    def test_a_file_that_cannot_be_read_is_on_the_metrics_and_then_in_readiness(self, path: Path) -> None:
        path.write_text(line("bidder", "b"), encoding="utf-8")
        clock = Clock()
        dependencies = ServiceDependencies(PseudonymKeys(None), auth=TokenAuth(path, clock=clock))
        given = {"Authorization": "Bearer b"}
        with TestClient(app.create_decide_app(Models({}, {}), dependencies)) as client:

            def state() -> tuple[bool, int, int]:
                unreadable = "\nadloom_tokens_unreadable 1.0\n" in client.get("/metrics").text
                decided = client.post(DECIDE, json=QUESTIONS[DECIDE], headers=given)
                return unreadable, decided.status_code, client.get("/readyz").status_code

            assert state() == (False, 200, 200)
            path.unlink()
            clock.now += 30
            assert state() == (True, 200, 200)
            clock.now += 31
            assert state() == (True, 503, 503)
            assert "the tokens file cannot be read" in client.get("/readyz").json()["detail"]
            path.write_text(line("bidder", "b"), encoding="utf-8")
            wait_until(lambda: state() == (False, 200, 200))  # the thread that reads it finds it

    def test_over_the_rate(self, path: Path) -> None:
        path.write_text(line("slow", "s", "decide,feedback", "1/s"), encoding="utf-8")
        dependencies = ServiceDependencies(PseudonymKeys(None), auth=TokenAuth(path, clock=Clock()))
        given = {"Authorization": "Bearer s"}
        with TestClient(app.create_decide_app(Models({}, {}), dependencies)) as client:
            assert client.post(DECIDE, json=QUESTIONS[DECIDE], headers=given).status_code == 200
            for endpoint in (DECIDE, FEEDBACK):  # one rate for all a token does
                response = client.post(endpoint, json=QUESTIONS[endpoint], headers=given)
                assert (response.status_code, response.headers["retry-after"]) == (429, "1")
                assert response.headers["content-type"] == "application/problem+json"


class TestRate:
    def test_a_seconds_worth_at_once_then_as_it_comes(self, path: Path) -> None:
        asked = gate(path, line("bidder", "b", rate="4/s"))
        assert [asked.status("b") for _ in range(5)] == [200] * 4 + [429]
        assert [asked.later(0.25).status("b") for _ in range(3)] == [200] * 3
        assert asked.status("b") == 429
        assert [asked.later(3600).status("b"), *(asked.status("b") for _ in range(4))] == [200] * 4 + [429]

    def test_several_processes_share_it(self, path: Path) -> None:
        asked = gate(path, line("bidder", "b", rate="8/s"), workers=4)
        assert [asked.status("b") for _ in range(3)] == [200, 200, 429]

    def test_one_token_does_not_spend_anothers(self, path: Path) -> None:
        asked = gate(path, line("one", "1", rate="1/s") + line("two", "2", rate="1/s") + line("free", "3"))
        assert [asked.status(token) for token in "1123333"] == [200, 429, 200, 200, 200, 200, 200]

    def test_what_may_not_be_done_costs_nothing(self, path: Path) -> None:
        asked = gate(path, line("one", "1", rate="1/s"))
        assert [asked.status("1", "admin"), asked.status("1", kind="Basic"), asked.status("1")] == [403, 401, 200]


class TestFile:
    def test_holds_hashes_and_is_its_owners(self, path: Path) -> None:
        token = auth.add_token(path, "bidder", ["decide", "feedback"], 2000)
        assert token not in path.read_text(encoding="utf-8")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        (found,) = tokens.read(path).tokens
        assert (found.name, found.scopes, found.rate) == ("bidder", frozenset({"decide", "feedback"}), 2000)
        assert found.digest == hashlib.sha256(token.encode()).digest()

    def test_comments_and_empty_lines(self, path: Path) -> None:
        asked = gate(path, "# who may ask\n\n" + line("bidder", "b").strip() + "   # since May\n")
        assert [asked.status("b"), asked.status("b", kind="bearer"), asked.status("# since May")] == [200, 200, 401]

    def test_a_name_has_one_token(self, path: Path) -> None:
        auth.add_token(path, "bidder", ["decide"])
        with pytest.raises(ConfigError, match="bidder has a token; choose another name"):
            auth.add_token(path, "bidder", ["decide"])

    def test_a_last_line_without_an_end_is_not_run_into(self, path: Path) -> None:
        path.write_text(line("first", "f").strip(), encoding="utf-8")
        auth.add_token(path, "second", ["decide"])
        assert [token.name for token in tokens.read(path).tokens] == ["first", "second"]

    @pytest.mark.parametrize(
        ("bad", "said"),
        [
            ("bidder", "not a token; expected NAME SCOPE,SCOPE sha256:"),
            (f"bidder decide {'0' * 64}", "not a token"),
            (f"bidder decide sha256:{'0' * 63}", "not a token"),
            (f"bidder decide sha256:{'0' * 64} 5/min", "not a token"),
            (f"bidder decide,root sha256:{'0' * 64}", "scope 'root', expected of decide, feedback, trigger, admin"),
            (f"bidder , sha256:{'0' * 64}", "scope ''"),
            (f"bidder decide sha256:{'0' * 64} 0/s", "a rate of 0/s, expected 1 to 1000000000"),
            (f"bidder decide sha256:{'0' * 64} 1000000001/s", "a rate of 1000000001/s, expected 1 to"),
            (f"bidder decide sha256:{'0' * 64} {'9' * 400}/s", "a rate of 999999999999/s, expected 1 to"),
            (f"bidder decide sha256:{'0' * 64} {'9' * 5000}/s", "a rate of 999999999999/s, expected 1 to"),
        ],
    )
    def test_a_broken_line_is_named_without_what_it_holds_and_costs_no_other(
        self, path: Path, caplog: pytest.LogCaptureFixture, bad: str, said: str
    ) -> None:
        asked = gate(path, f"# tokens\n{line('good', 'g')}{bad}\n{line('last', 'l')}")
        assert [asked.status("g"), asked.status("l")] == [200, 200]
        (told,) = [message for message in caplog.messages if ":3: " in message]
        assert f"{said}" in told
        assert told.endswith("; the line is skipped")
        assert "0" * 40 not in told

    def test_a_rate_may_be_as_large_as_it_is_said(self, path: Path) -> None:
        asked = gate(path, line("bidder", "b", rate="1000000000/s"), workers=3)
        assert asked.status("b") == 200

    def test_one_token_under_two_names_is_neither(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        asked = gate(path, f"{line('bidder', 'same')}{line('other', 'x')}{line('ops', 'same')}")
        assert [asked.status("same"), asked.status("x")] == [401, 200]
        assert "bidder and ops are the same token" in caplog.text

    @pytest.mark.parametrize(("mode", "said"), [(0o600, False), (0o440, False), (0o640, False), (0o644, True)])
    def test_a_file_that_others_may_read_is_said(
        self, path: Path, caplog: pytest.LogCaptureFixture, mode: int, said: bool
    ) -> None:
        path.write_text(line("bidder", "b"), encoding="utf-8")
        path.chmod(mode)
        TokenAuth(path)
        assert (f"mode {mode:04o}, expected 0640 or less; `chmod 640 {path}`" in caplog.text) == said

    def test_what_is_no_file_is_refused_at_once(self, path: Path) -> None:
        os.mkfifo(path)
        for place, said in (
            (path, "not a file"),
            (path.parent, "not a file"),
            (Path("/dev/zero"), "not a file"),
            (path.with_name("large"), "more than 1048576 bytes"),
        ):
            path.with_name("large").write_bytes(bytes(2 << 20))
            with pytest.raises(ConfigError, match=f"tokens file {place}: {said}"):
                TokenAuth(place)

    @pytest.mark.parametrize("content", [b"", b"# none\n\n", b"\xff\xfe", b"all lines are wrong\n", None])
    def test_no_token_at_all(self, path: Path, content: bytes | None) -> None:
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match="tokens file .*tokens: "):
            TokenAuth(path)

    def test_the_command_prints_the_token_once(self, path: Path) -> None:
        arguments = ["token", "bidder", "--scopes", "decide", "--rate", "1", "--file", str(path)]
        done = CliRunner().invoke(main.cli, arguments)
        token = done.stdout.strip()
        asked = Gate(path, clock := Clock(), TokenAuth(path, clock=clock))
        assert [asked.status(token, "feedback"), asked.status(token), asked.status(token)] == [403, 200, 429]
        wrong = CliRunner().invoke(main.cli, ["token", "other", "--scopes", "all", "--file", str(path)])
        assert "scope 'all', expected of" in str(wrong.exception)
        assert len(tokens.read(path).tokens) == 1


class TestChange:
    def test_new_tokens_are_known_and_old_ones_gone_within_a_second(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        asked = gate(path, line("old", "o") + line("both", "b"))
        assert [asked.status(token) for token in "obn"] == [200, 200, 401]
        asked.rewrite(line("both", "b", "feedback") + line("new", "n"))
        assert [asked.status(token) for token in "on"] == [200, 401]  # it has not looked yet
        assert [asked.later(1.1).status(token) for token in "obn"] == [401, 403, 200]
        assert asked.status("b", "feedback") == 200
        assert "read again, 2 tokens" in caplog.text

    @pytest.mark.parametrize("content", ["", "# all are out\n", "half a li"])
    def test_a_file_without_tokens_lets_nobody_pass(
        self, path: Path, caplog: pytest.LogCaptureFixture, content: str
    ) -> None:
        asked = gate(path, line("bidder", "b"))
        asked.rewrite(content)
        assert asked.later(1.1).status("b") == 401
        assert caplog.text.count("no token in it") == 1
        assert not asked.auth.is_unreadable
        asked.rewrite(line("new", "n"))
        assert [asked.later(1.1).status(token) for token in "bn"] == [401, 200]

    def test_a_typo_in_one_line_does_not_keep_another_that_was_taken_out(self, path: Path) -> None:
        asked = gate(path, line("revoked", "r") + line("bidder", "b") + line("ops", "o"))
        asked.rewrite(line("bidder", "b") + line("ops", "o").replace("decide", "decode"))
        assert [asked.later(1.1).status(token) for token in "rbo"] == [401, 200, 401]

    @pytest.mark.parametrize("replace", [Path.unlink, make_folder, make_pipe, make_large, make_binary])
    def test_a_file_that_cannot_be_read_closes_the_door_after_a_grace_period(
        self, path: Path, caplog: pytest.LogCaptureFixture, replace: Callable[[Path], object]
    ) -> None:
        asked = gate(path, line("bidder", "b"))
        replace(path)
        assert [asked.later(1).status("b"), asked.auth.is_unreadable] == [200, False]
        assert [asked.later(58.9).status("b"), asked.auth.is_unreadable, asked.auth.is_closed] == [200, True, False]
        assert [asked.later(0.2).status("b"), asked.auth.is_closed] == [503, True]
        assert asked.status(None) == 503  # and tells nobody which tokens there were
        assert caplog.text.count("valid for 60 s, then none") == 1
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        asked.rewrite(line("bidder", "b"))
        assert [asked.later(1).status("b"), asked.auth.is_unreadable, asked.auth.is_closed] == [200, False, False]

    def test_a_reading_that_hangs_is_no_reading(self, path: Path) -> None:
        asked = gate(path, line("bidder", "b"))
        asked.clock.now += 61  # in which the thread did not come back
        assert [asked.auth.is_unreadable, asked.status("b")] == [True, 503]

    def test_what_is_spent_stays_spent(self, path: Path) -> None:
        asked = gate(path, line("bidder", "b", rate="1/s"))
        asked.later(0.9)
        assert [asked.status("b"), asked.status("b")] == [200, 429]
        asked.rewrite(line("bidder", "b", rate="1/s") + line("new", "n"))
        asked.later(0.2)
        assert [asked.status("n"), asked.status("b")] == [200, 429]

    def test_a_file_that_did_not_change_is_no_news(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        asked = gate(path, line("bidder", "b"))
        assert [asked.later(10).status("b") for _ in range(3)] == [200] * 3
        assert not caplog.records


class TestStart:
    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("BENTOML_DO_NOT_TRACK", "OTEL_SDK_DISABLED"):
            monkeypatch.setenv(name, os.environ.get(name, "true"))
        for name in ("ADLOOM_AUTH", "ADLOOM_TOKENS_FILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
    @pytest.mark.parametrize("app", ["decide", "all", "creatives"])
    def test_nobody_serves_without_saying_who_may_ask(self, tmp_path: Path, host: str, app: str) -> None:
        with pytest.raises(ConfigError, match="no tokens.*ADLOOM_TOKENS_FILE.*ADLOOM_AUTH=off"):
            server.serve(server.ServeOptions(app, tmp_path / "params.yaml", tmp_path), host, 0)

    def test_off_is_said_aloud(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("ADLOOM_AUTH", "off")
        with caplog.at_level(logging.WARNING), pytest.raises(ArtifactError, match="no model to serve"):
            server.serve(server.ServeOptions("decide", tmp_path / "params.yaml", tmp_path), "127.0.0.1", 0)
        assert "ADLOOM_AUTH=off" in caplog.text

    def test_off_lets_anybody_ask(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ADLOOM_AUTH", "off")
        anybody = auth.create_auth(Settings())
        assert isinstance(anybody, NoAuth)
        anybody.admit(None, "admin")

    def test_any_other_word_is_no_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ADLOOM_AUTH", "no")
        with pytest.raises(ValueError, match="auth"):
            Settings()

    def test_a_file_of_tokens_is_read_at_start(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ADLOOM_TOKENS_FILE", str(path))
        with pytest.raises(ConfigError, match="No such file"):
            auth.create_auth(Settings())
        token = auth.add_token(path, "admin", ["admin"])
        built = auth.create_auth(Settings())
        built.admit(f"Bearer {token}".encode(), "admin")
        with pytest.raises(Problem) as raised:
            built.admit(f"Bearer {token}".encode(), "decide")
        assert raised.value.status == HTTPStatus.FORBIDDEN
