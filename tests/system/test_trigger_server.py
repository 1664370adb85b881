"""`adloom trigger-server` as its own process: many triggers at once start one run."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import yaml
from tests.support import kfp_server
from tests.support.kfp_server import StandIn
from tests.support.tokens import tokens_file

ADLOOM = Path(sys.executable).with_name("adloom")
PARAMS = Path(__file__).parents[2] / "params.yaml"
TOKEN = "a-token-that-is-long-enough"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A server, and the folder of a service that triggers runs there: params.yaml and nothing else."""
    (tmp_path / "lines.csv").write_text("text\nwarm wool\n", encoding="utf-8")
    values = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    values |= {"project": "shop", "ingest": {"copy": {"uri": "lines.csv", "format": "csv"}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    with kfp_server.serving() as stand_in:
        monkeypatch.setenv("ADLOOM_KFP_ENDPOINT", stand_in.url)
        monkeypatch.setenv("ADLOOM_TOKENS_FILE", str(tokens_file(tmp_path, TOKEN)))
        yield stand_in


def listening(folder: Path) -> "subprocess.Popen[str]":
    command = [str(ADLOOM), "trigger-server", "--port", "0"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_storm_is_one_run_that_knows_its_reason(stand_in: StandIn, tmp_path: Path) -> None:
    with listening(tmp_path) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2].rstrip(";")

        def post(number: int) -> httpx.Response:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            return httpx.post(f"{url}/v1/trigger", json={"reason": f"part {number}"}, headers=headers, timeout=60)

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(post, range(20)))
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert sorted(answer.status_code for answer in answers)[-1] == 201
    ((run_id, run),) = stand_in.resources["runs"].items()
    assert {answer.json()["run_id"] for answer in answers} == {run_id}
    assert run.runtime_config.parameters["reason"].startswith("webhook part ")
    assert said == ""


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("ADLOOM_KFP_ENDPOINT", "no server of Kubeflow Pipelines is configured"),
        ("ADLOOM_TOKENS_FILE", "no tokens"),
    ],
)
def test_it_does_not_start_without(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, said: str
) -> None:
    monkeypatch.delenv(missing)
    with listening(tmp_path) as process:
        output, error = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert error.startswith(f"adloom: {said}")
    assert error.count("\n") == 1
