"""The service as its own process: started, asked over HTTP, stopped; and the ways in which it must not start."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.support.http_client import drop_signatures
from tests.support.tiny_models import write_models

from adloom.errors import ExternalServiceError
from adloom.serving.api.decide_schemas import DECIDE
from adloom.serving.api.endpoints import ENDPOINTS
from adloom.serving.api.schemas import GENERATE, READ, SEGMENT, WRITE
from adloom.serving.client import GREY_PIXEL, ask, ask_all, serving

ADLOOM = [sys.executable, "-m", "adloom"]
BLOCKED = ("torch", "pytorch_lightning", "sklearn", "pandas", "pandera", "dvc", "kfp", "matplotlib", "mlflow")
DOCS = Path(__file__).parents[2] / "docs"
ITEMS = ["recommend item-b item-d item-c"]  # after item-a
OPEN = {**os.environ, "ADLOOM_AUTH": "off"}
AUTH_IS_OFF = "ADLOOM_AUTH=off: anyone who reaches this port is allowed"
QUESTIONS = {
    DECIDE: {"placement": "top", "candidates": ["creative-0", "new"], "user_id": "1"},
    GENERATE: {"category": "Bag", "n": 2, "seed": 1},
    READ: {"pictures": [GREY_PIXEL]},
    WRITE: {"n": 2, "seed": 1},
    SEGMENT: {"users": ["1"]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decisions are logged below the home of whoever runs the tests otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADLOOM_HOME", str(tmp_path_factory.mktemp("home")))
        OPEN["ADLOOM_HOME"] = os.environ["ADLOOM_HOME"]
        yield


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with serving("--models", str(folder)) as url:
        yield url


def started(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [*ADLOOM, "serve", "--models", str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=OPEN)


def said(error: str) -> list[str]:
    """What a service logged, beside that anybody may ask, and what the command said."""
    lines = [json.loads(line)["message"] if line.startswith("{") else line for line in error.splitlines()]
    assert lines[0] == AUTH_IS_OFF
    return lines[1:]


def address(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().split()[2].rstrip(";")


def test_one_question_each(url: str) -> None:
    answers = ask_all(url)
    assert list(answers) == ["gan", "cnn", "lstm", "style", "music", "audience", "recommender", "policy"]
    assert answers["policy"].startswith("chose creative-")
    assert answers["gan"].startswith("drew 4 pictures of 'Bag'")
    assert answers["cnn"].startswith("read a drawn 'Bag' as 'Bag'")
    assert answers["lstm"].startswith("wrote ")
    assert answers["style"].startswith("painted a grey square")
    assert answers["audience"] == "a buyer of 8 orders, the last 10 days ago, is in segment-1"


def test_many_at_once_get_what_each_would_get_alone(url: str) -> None:
    alone = {path: drop_signatures(httpx.post(url + path, json=body).json()) for path, body in QUESTIONS.items()}
    bad = {"category": "Bag", "n": 1000}

    def one(i: int) -> bool:
        path = list(QUESTIONS)[i % len(QUESTIONS)]
        if i % 5 == 0:
            return httpx.post(url + GENERATE, json=bad).status_code == 422
        return drop_signatures(httpx.post(url + path, json=QUESTIONS[path]).json()) == alone[path]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(60)))


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 400), (b"{", 400), (b"\x00\xff", 400), (b"3", 422), (b'{"unknown": 1}', 422), (b" " * 17_000_000, 413)],
)
@pytest.mark.parametrize("path", [path for path, endpoint in ENDPOINTS.items() if endpoint.request])
def test_garbage(url: str, path: str, content: bytes, status: int) -> None:
    response = httpx.post(url + path, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert httpx.get(url + "/readyz").status_code == 200


def test_the_port_is_in_use(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = started(folder, "--port", str(port))
        output, error = process.communicate(timeout=30)
    assert process.returncode == 2
    assert output == ""
    assert said(error) == [
        f"adloom: 127.0.0.1:{port}: Address already in use; stop what uses it or choose another --port"
    ]


def test_a_host_that_is_not_ours(folder: Path) -> None:
    process = started(folder, "--host", "no.such.host.invalid")
    _, error = process.communicate(timeout=30)
    assert process.returncode == 2
    [line] = said(error)
    assert line.startswith("adloom: --host no.such.host.invalid: ")


def test_not_one_model(tmp_path: Path) -> None:
    process = started(tmp_path / "nowhere", "--port", "0")
    output, error = process.communicate(timeout=30)
    assert (process.returncode, output) == (2, "")
    assert said(error)[0] == f"gan is not served: {tmp_path}/nowhere/gan does not exist"
    assert said(error)[-1].startswith("adloom: no model to serve")


def test_a_changed_file_is_refused_and_the_others_serve(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "models")
    (tmp_path / "models" / "gan" / "generator.onnx").write_bytes(b"changed")
    process = started(tmp_path / "models", "--port", "0")
    url = address(process)
    assert httpx.post(url + GENERATE, json=QUESTIONS[GENERATE]).status_code == 503
    assert httpx.post(url + SEGMENT, json=QUESTIONS[SEGMENT]).status_code == 200
    assert ask_all(url)["gan"].startswith("not served: ")
    assert ask_all(url)["cnn"].startswith("read a grey square")
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    [line] = said(error)
    assert "generator.onnx: changed since it was written" in line


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, -15), (signal.SIGKILL, -9)])
def test_it_stops_cleanly_and_leaves_nobody_behind(folder: Path, sent: signal.Signals, code: int) -> None:
    process = started(folder, "--port", "0")
    url = address(process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    assert children.read_text() == ""
    process.send_signal(sent)
    _, error = process.communicate(timeout=30)
    assert (process.returncode, said(error)) == (code, [])
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_nothing_of_training_is_needed(folder: Path) -> None:
    """An interpreter that cannot import what trains must serve a folder all the same."""
    code = f"import sys; sys.modules.update(dict.fromkeys({BLOCKED})); from adloom.cli.main import main; main()"
    command = [sys.executable, "-c", code, "serve", "--models", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**OPEN, "CI": "1"}) as process:
        url = address(process)
        for path, body in QUESTIONS.items():
            assert httpx.post(url + path, json=body).status_code == 200, path
        process.terminate()


def test_the_decide_app_alone_needs_no_bentoml(folder: Path) -> None:
    blocked = (*BLOCKED, "bentoml")
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked})); from adloom.cli.main import main; main()"
    command = [sys.executable, "-c", code, "serve", "--app", "decide", "--models", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=OPEN) as process:
        url = address(process)
        answered = httpx.post(url + SEGMENT, json=QUESTIONS[SEGMENT])
        ready = httpx.get(url + "/readyz").json()
        process.terminate()  # before the assertions: the block waits for the process
    assert answered.status_code == 200
    assert ready["sources"] == dict.fromkeys(("audience", "recommender", "policy"), "folder")


def examples() -> list[str]:
    """Every command of the pages that asks a service on this machine, but for the trigger server; few impressions."""
    pages = [page.read_text(encoding="utf-8") for page in sorted(DOCS.rglob("*.md"))]
    lines = [
        line
        for page in pages
        for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
        for line in block.splitlines()
    ]
    few = (re.sub(r"--impressions \d+", "--impressions 200", line) for line in lines)
    return [line for line in dict.fromkeys(few) if "http://localhost:3000" in line and "/v1/trigger" not in line]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples call curl, which this machine lacks")
def test_the_documents_examples_run(url: str, tmp_path: Path) -> None:
    for line in examples():
        command = line.replace("http://localhost:3000", url).replace("curl -s", "curl -sS --fail-with-body")
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=tmp_path,
            capture_output=True,
            env={**os.environ, "CI": "1"},  # no progress bars
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b""), f"{line}\n{done.stdout.decode()}"
    assert (tmp_path / "bag.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("program", "client", "recommended"),
    [
        (sys.executable, "client.py", ITEMS),
        pytest.param("bash", "client.sh", ITEMS, marks=pytest.mark.skipif(not shutil.which("curl"), reason="no curl")),
        pytest.param("java", "Client.java", [], marks=pytest.mark.skipif(not shutil.which("java"), reason="no JDK")),
    ],
)
def test_the_clients_of_the_docs_run(url: str, program: str, client: str, recommended: list[str]) -> None:
    command = [program, str(DOCS / "examples" / client), url]
    patient = {**os.environ, "DEADLINE_MS": "30000"}
    done = subprocess.run(command, env=patient, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    shown, clicked, *others = done.stdout.splitlines()
    assert shown in {"show creative-1", "show creative-2"}
    assert clicked == shown.replace("show", "clicked")
    assert others == recommended


def test_the_client_tells_problems_apart(url: str, tmp_path: Path) -> None:
    with pytest.raises(ExternalServiceError, match=r"/v1/creatives/generate: 422 category: 'Hat' is not known to gan"):
        ask(url + GENERATE, {"category": "Hat"})
    with pytest.raises(ExternalServiceError, match="404 no such path"):
        ask(url + "/v2")
    with pytest.raises(ExternalServiceError, match="ended before it was ready"), serving("--models", str(tmp_path)):
        pass
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ExternalServiceError, match="is the service running"):
        ask(f"http://127.0.0.1:{port}/livez")
