"""Authentication: scopes, rates, and changes of the tokens file."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.support.decision_logs import wait_until
from tests.support.token_gate import Clock, gate, line

from adloom.serving import app, server
from adloom.serving.api import auth
from adloom.serving.api.auth import SCOPES, Access, TokenAuth
from adloom.serving.api.decide_schemas import DECIDE, FEEDBACK
from adloom.serving.api.endpoints import ENDPOINTS
from adloom.serving.api.recommend_schemas import RECOMMEND
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

    def test_a_studio_token_opens_all_that_a_creative_team_needs_and_no_more(
        self, path: Path, tokens: dict[str, str], models: Models
    ) -> None:
        dependencies = ServiceDependencies(PseudonymKeys(None), auth=TokenAuth(path))
        given = {"Authorization": f"Bearer {tokens['studio']}"}
        with TestClient(server.create_named_app("all", models, dependencies)) as client:
            statuses = {endpoint: client.post(endpoint, json=[], headers=given).status_code for endpoint in ENDPOINTS}
        assert {path for path, status in statuses.items() if status == 403} == {
            DECIDE,
            FEEDBACK,
            RECOMMEND,
            SEGMENT,
            REFRESH,
        }
        assert {status for status in statuses.values() if status != 403} == {422}

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

    @pytest.mark.slow
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
