"""Every folder, file and address that is named is tried."""

import socket
from pathlib import Path

import pytest
from tests.unit.doctor.conftest import MakeContext

from adloom.doctor.checks import place

NAMED = ("LOG_URI", "BUNDLE_CACHE", "DVC_REMOTE", "TOKENS_FILE", "KFP_CA", "WEBHOOK_URL")


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMED:
        monkeypatch.delenv(f"ADLOOM_{name}", raising=False)
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_nothing_named_is_nothing_tried(make_context: MakeContext) -> None:
    assert [finding.name for finding in place.check(make_context({"ingest": {}}))] == ["place-not-asked"]


def test_a_source_is_looked_for_in_the_working_folder(make_context: MakeContext, tmp_path: Path) -> None:
    events = {"uri": "e.csv", "format": "csv"}
    blocks = {"ingest": {"events": events, "copy": {"uri": "clothing-reviews"}, "impressions": {"uri": "s3://b/i"}}}
    (found,) = place.check(make_context(blocks))
    assert (found.name, found.found) == (
        "place-missing",
        f"e.csv (ingest.events): no such file or folder in {tmp_path}",
    )
    (tmp_path / "e.csv").touch()
    (found,) = place.check(make_context(blocks))
    assert (found.name, found.found) == ("place-ok", "e.csv (ingest.events): found")


def test_folders_and_files_of_the_environment_are_tried(make_context: MakeContext, tmp_path: Path) -> None:
    (tmp_path / "tokens").touch()
    variables = {
        "ADLOOM_LOG_URI": "/proc/self/log",
        "ADLOOM_DVC_REMOTE": "remote",
        "ADLOOM_TOKENS_FILE": "tokens",
        "ADLOOM_KFP_CA": "none.pem",
    }
    found = {finding.found: finding.name for finding in place.check(make_context({"ingest": {}}, **variables))}
    assert list(found.values()) == ["place-unwritable", "place-ok", "place-ok", "place-unreadable"]
    assert "none.pem (ADLOOM_KFP_CA): No such file or directory" in found
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".adloom")] == []


def test_addresses_are_called_and_the_path_of_a_webhook_is_not_shown(make_context: MakeContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as up, socket.socket() as down:
        down.bind(("127.0.0.1", 0))
        urls = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{up.getsockname()[1]}/v1",
            "ADLOOM_WEBHOOK_URL": f"http://127.0.0.1:{down.getsockname()[1]}/secret",
        }
        traces, webhook = place.check(make_context({"ingest": {}}, **urls))
    assert (traces.name, traces.found) == ("place-ok", "127.0.0.1 (OTEL_EXPORTER_OTLP_ENDPOINT): answers")
    assert (webhook.name, webhook.found) == (
        "place-no-answer",
        "127.0.0.1 (ADLOOM_WEBHOOK_URL): no answer: Connection refused",
    )


def test_what_is_no_address_is_named(make_context: MakeContext) -> None:
    (found,) = place.check(make_context({"ingest": {}}, ADLOOM_WEBHOOK_URL="example/secret"))
    assert (found.name, found.found) == ("place-no-answer", "ADLOOM_WEBHOOK_URL: not an http address")
