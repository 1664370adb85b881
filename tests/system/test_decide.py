"""The decide app as its own process: what goes over the wire, what its log holds in the end, what overload does."""

import contextlib
import json
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from tests.support.decide_server import (
    CREATIVES,
    REQUEST_BODY,
    Answer,
    Connection,
    DecideServer,
    pause_process,
    post,
    run_decide_server,
)
from tests.support.decision_logs import wait_until
from tests.support.tiny_models import write_models

from adloom.serving.api.decide_schemas import DECIDE, FEEDBACK, MAX_CANDIDATES
from adloom.serving.decide.micro_batcher import MAX_QUEUE

OPEN = {"ADLOOM_AUTH": "off"}
MANY = [f"creative-{i}" for i in range(MAX_CANDIDATES)]
CLIENTS = 8


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DecideServer]:
    """The process that all tests ask which do not end theirs; it ends well, and its log is clean."""
    with run_decide_server(tmp_path_factory.mktemp("server"), ["--models", str(models)], OPEN) as server:
        yield server
        assert server.end() == -signal.SIGTERM
        server.verify_log()


def is_whole(answer: Answer) -> bool:
    """Whether an answer is a slate of two of the creatives, by the model."""
    shown = [slot["creative_id"] for slot in answer.body["creatives"]]
    assert (answer.status, answer.body["tier"], answer.body["segment"]) == (200, "model", "segment-1")
    return len(set(shown)) == 2 and set(shown) <= set(CREATIVES)


def test_a_connection_stays_and_each_request_gets_a_decision_of_its_own(server: DecideServer) -> None:
    with server.connect() as connection:
        answers = [connection.ask(REQUEST_BODY) for _ in range(20)]
        assert connection.ask({**REQUEST_BODY, "n": 0}).status == 422  # and the next one is answered all the same
        answers.append(connection.ask(REQUEST_BODY, "Connection: close"))
        assert connection.ended
    assert all(map(is_whole, answers))
    assert len({answer.body["decision_id"] for answer in answers}) == 21


def test_pipelined_requests_are_answered_in_their_order(server: DecideServer) -> None:
    asked = [{**REQUEST_BODY, "candidates": [f"{i}"], "n": 1} for i in range(30)]
    with server.connect() as connection:
        connection.send(b"".join(map(post, asked)))
        answers = [connection.answer() for _ in asked]
    assert [[slot["creative_id"] for slot in a.body["creatives"]] for a in answers] == [[f"{i}"] for i in range(30)]


def test_a_request_in_pieces_is_one_request(server: DecideServer) -> None:
    whole = post(REQUEST_BODY)
    head = whole.index(b"\r\n\r\n") + 4
    with server.connect() as connection:
        for cut in (1, 30, head - 2, head, head + 1, len(whole) - 1):
            with pause_process(server.process.pid):
                connection.send(whole[:cut])
            wait_until(lambda: not unread(server, connection))
            connection.send(whole[cut:])
            assert is_whole(connection.answer()), cut
        chunks = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(whole) - head, whole[head:])
        connection.send(whole[: whole.index(b"Content-Length")] + chunks)
        assert is_whole(connection.answer())


def unread(server: DecideServer, connection: Connection) -> bool:
    """Whether the process has not yet read all it was sent on a connection; Linux knows."""
    local, remote = (name[1] for name in (connection.socket.getsockname(), connection.socket.getpeername()))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (fields[1][-4:], fields[2][-4:]) == (f"{remote:04X}", f"{local:04X}"):
            return int(fields[4].partition(":")[2], 16) > 0
    raise AssertionError("no such connection")


def test_who_expects_to_be_told_is_told_to_go_on(server: DecideServer) -> None:
    whole = post(REQUEST_BODY, "Expect: 100-continue")
    head = whole.index(b"\r\n\r\n") + 4
    with server.connect() as connection:
        connection.send(whole[:head])
        assert connection.answer().status == 100
        connection.send(whole[head:])
        assert is_whole(connection.answer())


def test_who_goes_away_disturbs_nobody(server: DecideServer) -> None:
    whole = post(REQUEST_BODY)
    for cut in (10, len(whole) - 5, len(whole)):
        with server.connect() as leaving, server.connect() as staying:
            leaving.send(whole[:cut])
            leaving.__exit__()
            assert is_whole(staying.ask(REQUEST_BODY))


def ask_until_it_ends(server: DecideServer, answered: list[str], enough: Event) -> None:
    """Ask on one connection as long as there are answers."""
    try:
        with server.connect() as connection:
            while True:
                answer = connection.ask(REQUEST_BODY)
                assert answer.status == 200
                answered.append(answer.body["decision_id"])
                if len(answered) >= 100:
                    enough.set()
    except ConnectionError:  # it ended
        pass


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0)])
def test_every_answered_decision_is_in_the_log_of_a_process_that_was_ended(
    models: Path, tmp_path: Path, how: signal.Signals, code: int
) -> None:
    answered, enough = [list[str]() for _ in range(CLIENTS)], Event()
    with run_decide_server(tmp_path, ["--models", str(models)], OPEN) as server, ThreadPoolExecutor(CLIENTS) as clients:
        asking = [clients.submit(ask_until_it_ends, server, mine, enough) for mine in answered]
        with server.connect() as slow:
            whole = post(REQUEST_BODY)
            slow.send(whole[:-10])
            wait_until(lambda: not unread(server, slow))
            assert enough.wait(30)
            server.process.send_signal(how)
            wait_until(server.refuses)
            slow.send(whole[-10:])  # what it was about to be asked, it answers
            last = slow.answer()
            assert is_whole(last)
        assert server.process.wait(30) == code
        for future in asking:
            future.result(30)
    ids = [*(name for mine in answered for name in mine), last.body["decision_id"]]
    found = server.verify_log()
    logged = {decision.decision_id for decision in server.decisions()}
    assert set(ids) <= logged
    assert len(ids) == len(set(ids))
    assert (found["processes"], found["processes_without_end"], found["decisions"]) == (1, 0, len(logged))
    assert not [*(tmp_path / ".adloom" / "decisions" / "open").glob("*.jsonl")]
    assert "Traceback" not in server.errors


def test_workers_under_load_lose_no_answered_decision_either(models: Path, tmp_path: Path) -> None:
    answered, enough = [list[str]() for _ in range(CLIENTS)], Event()
    arguments = ["--models", str(models), "--workers", "2"]
    with run_decide_server(tmp_path, arguments, OPEN) as server, ThreadPoolExecutor(CLIENTS) as clients:
        asking = [clients.submit(ask_until_it_ends, server, mine, enough) for mine in answered]
        assert enough.wait(30)
        code = server.end()
        for future in asking:
            future.result(30)
    ids = {name for mine in answered for name in mine}
    found = server.verify_log()
    assert ids <= {decision.decision_id for decision in server.decisions()}
    assert (found["processes_without_end"], code) == (0, 0)
    assert "Traceback" not in server.errors


def test_two_workers_write_side_by_side(models: Path, tmp_path: Path) -> None:
    ids = []
    with run_decide_server(tmp_path, ["--models", str(models), "--workers", "2"], OPEN) as server:
        first, second = server.workers()
        for silent in (first, second, first, second):
            with pause_process(silent), server.connect() as connection:  # so that the other one answers
                answers = [connection.ask(REQUEST_BODY) for _ in range(5)]
                clicked = {"decision_id": answers[0].body["decision_id"], "kind": "click"}
                told = {**clicked, "creative_id": answers[0].body["creatives"][0]["creative_id"]}
                connection.send(post(told, path=FEEDBACK))
                assert connection.answer().body == {"accepted": True}
            ids += [answer.body["decision_id"] for answer in answers]
        path = 'adloom_requests_total{path="/v1/decide",status="200"}'
        wait_until(lambda: server.metric(path) == len(ids))  # whoever is asked gives the sum
        server.end()
    found = server.verify_log()
    assert {decision.decision_id for decision in server.decisions()} == set(ids)
    assert (found["processes"], found["decisions"], found["feedback"]) == (2, 20, 4)


def at_once(server: DecideServer, requests: list[Mapping[str, Any]]) -> list[Answer]:
    """Let the process find so many requests at one look at its connections, and return the answers."""
    with ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in requests]
        assert all(connection.ask(REQUEST_BODY).status == 200 for connection in connections)
        with pause_process(server.process.pid):
            for connection, asked in zip(connections, requests, strict=True):
                connection.send(post(asked))
        return [connection.answer() for connection in connections]


def test_a_burst_beyond_the_bound_is_sent_away_and_the_others_are_answered(server: DecideServer) -> None:
    burst = 3 * MAX_QUEUE
    answers = at_once(server, [REQUEST_BODY] * burst)
    counts = Counter(answer.status for answer in answers)
    assert set(counts) == {200, 429}
    assert counts[200] >= MAX_QUEUE
    busy = [answer for answer in answers if answer.status == 429]
    assert {answer.headers["retry-after"] for answer in busy} == {"1"}
    assert {answer.headers["content-type"] for answer in busy} == {"application/problem+json"}
    assert all(is_whole(answer) for answer in answers if answer.status == 200)
    assert server.metric('adloom_requests_total{path="/v1/decide",status="429"}') == len(busy)
    with server.connect() as connection:
        assert all(is_whole(connection.ask(REQUEST_BODY)) for _ in range(5))  # it is over at once


def test_what_clients_that_went_away_asked_for_is_not_decided(server: DecideServer) -> None:
    gone = 'adloom_requests_total{path="/v1/decide",status="499"}'
    answered = 'adloom_requests_total{path="/v1/decide",status="200"}'
    before, decided = server.metric(gone), server.metric(answered)
    with server.connect() as staying:
        with pause_process(server.process.pid):
            for ending in (
                post(REQUEST_BODY),
                post(REQUEST_BODY, path=f"{DECIDE}?k=1"),
                post(REQUEST_BODY, "Connection: close"),
            ) * 10:
                with server.connect() as leaving:
                    leaving.send(ending)
            staying.send(post(REQUEST_BODY))
        assert is_whole(staying.answer())
    wait_until(lambda: server.metric(gone) == before + 30)
    assert server.metric(answered) == decided + 1


def test_a_head_without_end_takes_no_memory(server: DecideServer) -> None:
    before = server.resident()
    with server.connect() as connection:
        connection.send(b"POST /v1/decide HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                connection.send(b"a: b\r\n" * 4000)  # 24 MB in all
        assert server.resident() - before < 8e6
    with server.connect() as connection:
        assert is_whole(connection.ask(REQUEST_BODY))


def test_what_the_model_has_no_time_for_is_answered_without_it(server: DecideServer) -> None:
    hurry = {"placement": "here", "candidates": MANY, "tmax_ms": 1}
    with server.connect() as connection:
        assert connection.ask({**hurry, "tmax_ms": 10_000}).body["tier"] == "model"
    pairs = [(hurry, {**hurry, "placement": f"elsewhere {number}"}) for number in range(MAX_QUEUE // 2)]
    answers = at_once(server, [asked for pair in pairs for asked in pair])
    assert {answer.status for answer in answers} == {200}
    known, new = answers[::2], answers[1::2]
    assert {answer.body["tier"] for answer in known} <= {"cached", "model"}  # the model, while there is time
    assert {answer.body["tier"] for answer in new} <= {"default", "model"}
    asked_before = next(answer.body for answer in known if answer.body["tier"] == "cached")
    never = next(answer.body for answer in new if answer.body["tier"] == "default")
    assert (never["policy"], never["creatives"][0]["probability"]) == (None, pytest.approx(1 / MAX_CANDIDATES))
    assert asked_before["policy"]["digest"]
    tiers = Counter(answer.body["tier"] for answer in answers)
    for tier, count in tiers.items():
        assert server.metric(f'adloom_decide_seconds_count{{tier="{tier}"}}') >= count
    ids = {never["decision_id"], asked_before["decision_id"]}
    log = server.folder / ".adloom" / "decisions" / "open"

    def logged() -> dict[str, str]:
        lines = [json.loads(line) for path in log.glob("*.jsonl") for line in path.read_bytes().split(b"\n")[:-1]]
        return {line["decision_id"]: line["tier"] for line in lines if line.get("decision_id") in ids}

    wait_until(lambda: len(logged()) == 2)
    assert logged() == {never["decision_id"]: "default", asked_before["decision_id"]: "cached"}
