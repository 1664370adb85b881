"""Who may ask: tokens in a file, their scopes and rates, what is told to whom may not, and what a start demands."""

import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from adloom import cli
from adloom.errors import ArtifactError, ParamsError
from adloom.serving import auth, decide, server
from adloom.serving.auth import SCOPES, Access, Auth, Open
from adloom.serving.bundles import Models
from adloom.serving.decide import Around
from adloom.serving.messages import DECIDE, FEEDBACK
from adloom.serving.problems import Problem
from adloom.serving.schemas import REFRESH, SEGMENT
from adloom.serving.segments import Keys
from adloom.settings import Settings

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
    auth: Auth

    def status(self, token: str | None, scope: Access = "decide", kind: str = "Bearer") -> int:
        try:
            self.auth.admit(None if token is None else f"{kind} {token}".encode(), scope)
        except Problem as problem:
            return problem.status
        return 200

    def later(self, seconds: float) -> "Gate":
        self.clock.now += seconds
        return self

    def rewrite(self, text: str) -> None:
        """Replace the file as an editor does."""
        beside = self.path.with_suffix(".new")
        beside.write_text(text, encoding="utf-8")
        beside.replace(self.path)


def line(name: str, token: str, scopes: str = "decide", rate: str = "") -> str:
    return f"{name} {scopes} sha256:{hashlib.sha256(token.encode()).hexdigest()} {rate}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def gate(path: Path, text: str, workers: int = 1) -> Gate:
    path.write_text(text, encoding="utf-8")
    clock = Clock()
    return Gate(path, clock, Auth(path, workers, clock))


class TestHttp:
    @pytest.fixture
    def tokens(self, path: Path) -> dict[str, str]:
        return {scope: auth.add(path, f"for-{scope}", [scope]) for scope in SCOPES}

    @pytest.fixture
    def client(self, path: Path, tokens: dict[str, str]) -> Iterator[TestClient]:
        around = Around(Keys(None), auth=Auth(path))
        with TestClient(decide.alone(Models({}, {"audience": "gone"}), around)) as client:
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

    def test_over_the_rate(self, path: Path) -> None:
        path.write_text(line("slow", "s", "decide,feedback", "1/s"), encoding="utf-8")
        around = Around(Keys(None), auth=Auth(path, clock=Clock()))
        given = {"Authorization": "Bearer s"}
        with TestClient(decide.alone(Models({}, {}), around)) as client:
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
        token = auth.add(path, "bidder", ["decide", "feedback"], 2000)
        assert token not in path.read_text(encoding="utf-8")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        (found,) = auth.read(path)
        assert (found.name, found.scopes, found.rate) == ("bidder", frozenset({"decide", "feedback"}), 2000)
        assert found.digest == hashlib.sha256(token.encode()).digest()

    def test_comments_and_empty_lines(self, path: Path) -> None:
        asked = gate(path, "# who may ask\n\n" + line("bidder", "b").strip() + "   # since May\n")
        assert [asked.status("b"), asked.status("b", kind="bearer"), asked.status("# since May")] == [200, 200, 401]

    def test_a_name_has_one_token(self, path: Path) -> None:
        auth.add(path, "bidder", ["decide"])
        with pytest.raises(ParamsError, match="bidder has a token; choose another name"):
            auth.add(path, "bidder", ["decide"])

    def test_a_last_line_without_an_end_is_not_run_into(self, path: Path) -> None:
        path.write_text(line("first", "f").strip(), encoding="utf-8")
        auth.add(path, "second", ["decide"])
        assert [token.name for token in auth.read(path)] == ["first", "second"]

    @pytest.mark.parametrize(
        ("bad", "said"),
        [
            ("bidder", "not a token; expected NAME SCOPE,SCOPE sha256:"),
            (f"bidder decide {'0' * 64}", "not a token"),
            (f"bidder decide sha256:{'0' * 63}", "not a token"),
            (f"bidder decide sha256:{'0' * 64} 5/min", "not a token"),
            (f"bidder decide,root sha256:{'0' * 64}", "scope 'root', expected of decide, feedback, admin"),
            (f"bidder , sha256:{'0' * 64}", "scope ''"),
            (f"bidder decide sha256:{'0' * 64} 0/s", "a rate of 0 lets nobody ask"),
        ],
    )
    def test_a_broken_line_is_named_without_what_it_holds(self, path: Path, bad: str, said: str) -> None:
        path.write_text(f"# tokens\n{line('good', 'g')}{bad}\n", encoding="utf-8")
        with pytest.raises(ParamsError, match="tokens:3: ") as raised:
            Auth(path)
        assert said in str(raised.value)
        assert "0" * 40 not in str(raised.value)

    def test_one_token_under_two_names_is_neither(self, path: Path) -> None:
        path.write_text(f"{line('bidder', 'same')}{line('other', 'x')}{line('ops', 'same')}", encoding="utf-8")
        with pytest.raises(ParamsError, match="tokens: bidder and ops are one token; leave one of these lines"):
            Auth(path)

    @pytest.mark.parametrize("content", [b"", b"# none\n\n", b"\xff\xfe", None])
    def test_no_token_at_all(self, path: Path, content: bytes | None) -> None:
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ParamsError, match="tokens file .*tokens: "):
            Auth(path)

    def test_the_command_prints_the_token_once(self, path: Path) -> None:
        arguments = ["token", "bidder", "--scopes", "decide", "--rate", "1", "--file", str(path)]
        done = CliRunner().invoke(cli.cli, arguments)
        token = done.stdout.strip()
        asked = Gate(path, clock := Clock(), Auth(path, clock=clock))
        assert [asked.status(token, "feedback"), asked.status(token), asked.status(token)] == [403, 200, 429]
        wrong = CliRunner().invoke(cli.cli, ["token", "other", "--scopes", "all", "--file", str(path)])
        assert "scope 'all', expected of" in str(wrong.exception)
        assert len(auth.read(path)) == 1


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

    @pytest.mark.parametrize("broken", ["half a li", "", None])
    def test_a_broken_file_leaves_the_tokens_as_they_are(
        self, path: Path, caplog: pytest.LogCaptureFixture, broken: str | None
    ) -> None:
        asked = gate(path, line("bidder", "b"))
        if broken is None:
            path.unlink()
        else:
            asked.rewrite(broken)
        assert asked.later(1.1).status("b") == 200
        assert "the tokens read last stay" in caplog.text
        asked.rewrite(line("new", "n"))
        assert [asked.later(1.1).status(token) for token in "bn"] == [401, 200]

    def test_what_is_spent_stays_spent(self, path: Path) -> None:
        asked = gate(path, line("bidder", "b", rate="1/s"))
        asked.later(0.9)
        assert [asked.status("b"), asked.status("b")] == [200, 429]
        asked.rewrite(line("bidder", "b", rate="1/s") + line("new", "n"))
        asked.later(0.2)
        assert [asked.status("n"), asked.status("b")] == [200, 429]

    def test_a_file_that_did_not_change_is_not_read(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
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
        with pytest.raises(ParamsError, match="no tokens, so nobody could ask: .*ADLOOM_AUTH=off lets anybody ask"):
            server.serve(server.Asked(app, tmp_path / "params.yaml", tmp_path), host, 0)

    def test_off_is_said_aloud(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("ADLOOM_AUTH", "off")
        with caplog.at_level(logging.WARNING), pytest.raises(ArtifactError, match="no model to serve"):
            server.serve(server.Asked("decide", tmp_path / "params.yaml", tmp_path), "127.0.0.1", 0)
        assert "ADLOOM_AUTH=off: whoever reaches this port may ask" in caplog.text

    def test_off_lets_anybody_ask(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ADLOOM_AUTH", "off")
        anybody = auth.build(Settings())
        assert isinstance(anybody, Open)
        anybody.admit(None, "admin")

    def test_any_other_word_is_no_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ADLOOM_AUTH", "no")
        with pytest.raises(ValueError, match="auth"):
            Settings()

    def test_a_file_of_tokens_is_read_at_start(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ADLOOM_TOKENS_FILE", str(path))
        with pytest.raises(ParamsError, match="No such file"):
            auth.build(Settings())
        token = auth.add(path, "admin", ["admin"])
        built = auth.build(Settings())
        built.admit(f"Bearer {token}".encode(), "admin")
        with pytest.raises(Problem) as raised:
            built.admit(f"Bearer {token}".encode(), "decide")
        assert raised.value.status == HTTPStatus.FORBIDDEN
