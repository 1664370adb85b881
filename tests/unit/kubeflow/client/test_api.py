"""Requests to the server: every fault is one line in time, and tokens and certificates hold."""

import socket
import ssl
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.support import kfp_server
from tests.support.kfp_client import STATUS, order, server
from tests.support.kfp_server import Answer, StandIn
from tests.support.silent_port import silent_port

from adloom.errors import AdloomError, ConfigError, ExternalServiceError
from adloom.kubeflow.client.api import Timeouts


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (Answer(401, STATUS), ConfigError, "the token is refused; set ADLOOM_KFP_TOKEN, or ADLOOM_KFP_TOKEN_FILE"),
        (
            Answer(403, STATUS),
            ConfigError,
            "the token may not do this; ask for a role that may, or check ADLOOM_KFP_NA",
        ),
        (Answer(404, STATUS), ConfigError, "has no API v2beta1, which KFP 2 and later have; set ADLOOM_KFP_ENDPOINT"),
        (Answer(404, "404 page not found"), ConfigError, "no API; set ADLOOM_KFP_ENDPOINT"),
        (
            Answer(429, STATUS, {"retry-after": "3600"}),
            ExternalServiceError,
            "too many requests; try again in a minute",
        ),
        (
            Answer(500, STATUS),
            ExternalServiceError,
            "failed (500: Internal: the database is gone)",
        ),
        (Answer(502, "<html>Bad Gateway"), ExternalServiceError, "failed (502: no message)"),
        (Answer(503, ""), ExternalServiceError, "failed (503: no message)"),
        (
            Answer(200, "<html>Welcome</html>"),
            ConfigError,
            "its answer is not one of this API; set ADLOOM_KFP_ENDPOINT",
        ),
        (Answer(200, ""), ConfigError, "its answer is not one of this API"),
        (Answer(200, "{}", {"content-type": "application/json; charset=none"}), ConfigError, "is not one of this API"),
        (Answer(200, '"text"'), ConfigError, "its answer is not one of this API"),
        (
            Answer(302, "", {"location": "https://dex.example/auth?state=secret"}),
            ConfigError,
            "leads to https://dex.example/auth; set ADLOOM_KFP_ENDPOINT to that, or if it is a sign-in, set ADLOOM_KFP",
        ),
    ],
)
def test_a_refusal_is_one_line(stand_in: StandIn, answer: Answer, kind: type[AdloomError], said: str) -> None:
    stand_in.answers.extend([answer] * 3)
    with pytest.raises(kind) as caught:
        server(stand_in.url).list_schedules("shop-training")
    assert str(caught.value).startswith(f"Kubeflow Pipelines at {stand_in.url}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_question_is_asked_again(stand_in: StandIn, status: int) -> None:
    stand_in.answers.extend([Answer(status, STATUS)] * 2)
    assert server(stand_in.url).list_schedules("shop-training") == []


def test_what_changes_something_is_asked_once(stand_in: StandIn) -> None:
    ordered = order(server(stand_in.url))
    fresh = server(stand_in.url)
    list(fresh.list_runs("shop-training"))  # asks what it asks but once
    stand_in.after = lambda _method, path: (
        stand_in.answers.append(Answer(503)) if path.endswith("experiments") else None
    )
    with pytest.raises(ExternalServiceError, match="failed"):
        fresh.start_run(ordered)
    assert [path for _, path in stand_in.changes if path.endswith("/runs")] == ["/apis/v2beta1/runs"]
    assert list(fresh.list_runs("shop-training")) == []


@pytest.mark.slow
def test_a_server_that_says_nothing_is_given_up(stand_in: StandIn) -> None:
    stand_in.silence = threading.Event()
    with pytest.raises(ExternalServiceError, match=r"no answer: Read timed out; is it running\?"):
        server(stand_in.url).list_schedules("shop-training")
    assert len(stand_in.requests) == 3


def test_a_start_waits_for_the_servers_mlflow_plugin_and_says_what_may_hang(stand_in: StandIn) -> None:
    assert Timeouts().start >= 65  # the plugin gives MLflow up after 60 seconds
    over = server(stand_in.url)
    ordered = order(over)
    list(over.list_runs("shop-training"))
    stand_in.after = lambda _method, path: setattr(
        stand_in, "silence", threading.Event() if path.endswith("experiments") else None
    )
    with pytest.raises(
        ExternalServiceError,
        match=r"took the request and did not answer in 0\.4 s; .*MLflow plugin.*`adloom runs`",
    ):
        over.start_run(ordered)
    assert stand_in.requests.count(("POST", "/apis/v2beta1/runs")) == 1


def test_every_fault_ends_within_30_seconds() -> None:
    timeouts = Timeouts()
    pauses = max(timeouts.backoff, 2 * timeouts.retry_after)
    assert 3 * timeouts.read + pauses <= 30
    assert 3 * timeouts.connect + pauses <= 30


def test_a_server_that_is_down_is_one_line() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            ExternalServiceError, match=rf"^Kubeflow Pipelines at {url}: no answer: Connection refused; is it"
        ):
            server(url).list_schedules("shop-training")


@pytest.mark.slow
def test_an_address_that_swallows_every_packet_fails_in_seconds() -> None:
    with silent_port() as port:
        begun = time.monotonic()
        said = rf"no answer: Connection to 127\.0\.0\.1 timed out \(.* may close port {port}\); is it running"
        with pytest.raises(ExternalServiceError, match=said):
            server(f"http://127.0.0.1:{port}").list_schedules("shop-training")
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "no server of Kubeflow Pipelines is configured; set ADLOOM_KFP_ENDPOINT"),
        ("ml-pipeline:8888", "ADLOOM_KFP_ENDPOINT=ml-pipeline:8888: not an address"),
        ("ftp://ml-pipeline", "not an address"),
        ("http://", "not an address"),
        ("http://ml-pipeline/#/runs", "not an address"),
        ("http://[", "not an address"),
        ("http://ann:secret@ml-pipeline", "ADLOOM_KFP_ENDPOINT=http://…@ml-pipeline: not an address"),
    ],
)
def test_what_is_no_address_is_said(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        server(url).list_schedules("shop-training")
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_token_of_the_environment_is_shown(stand_in: StandIn) -> None:
    stand_in.token = "right"
    assert server(stand_in.url, kfp_token="right").list_schedules("shop-training") == []
    for settings in ({"kfp_token": "wrong"}, {}):
        with pytest.raises(ConfigError, match=r"the token is refused; .*\(401: Unauthenticated"):
            server(stand_in.url, **settings).list_schedules("shop-training")


def test_a_token_file_is_read_at_each_request_since_it_is_renewed(stand_in: StandIn, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    stand_in.token = "first"
    over = server(stand_in.url, ADLOOM_KFP_TOKEN_FILE=path)
    assert over.list_schedules("shop-training") == []
    path.write_text("second\n")
    stand_in.token = "second"
    assert over.list_schedules("shop-training") == []


@pytest.mark.parametrize("content", [None, b"", b"sec ret", b"\xff\xfe", "tökën".encode()])
def test_what_is_no_token_is_said_and_never_shown(stand_in: StandIn, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{path}: (No such file|not a token|not text).*; set ADLOOM_KFP") as caught:
        server(stand_in.url, ADLOOM_KFP_TOKEN_FILE=path).list_schedules("shop-training")
    assert "sec ret" not in str(caught.value)
    assert stand_in.requests == []


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that nobody vouches for, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kfp")]), datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1)).add_extension(
        address, critical=False
    )
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    signed = made.sign(key, hashes.SHA256())
    (folder / "certificate.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return folder / "certificate.pem", folder / "key.pem"


def test_a_certificate_is_trusted_only_when_its_authority_is(tmp_path: Path) -> None:
    trusted, key = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(trusted, key)
    with kfp_server.serving(tls) as stand_in:
        with pytest.raises(ConfigError, match="its certificate is not trusted: .*; set ADLOOM_KFP_CA to a file"):
            server(stand_in.url).list_schedules("shop-training")
        assert stand_in.requests == []
        assert server(stand_in.url, kfp_ca=trusted).list_schedules("shop-training") == []


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_is_no_certificate_is_said(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content:
        path.write_text(content)
    with pytest.raises(ConfigError, match=rf"ADLOOM_KFP_CA={path}: (No such file|.*); expected certificates in PEM"):
        server("https://127.0.0.1:1", kfp_ca=path).list_schedules("shop-training")


def test_a_server_of_many_users_must_be_told_the_namespace(stand_in: StandIn) -> None:
    stand_in.multi_user = True
    with pytest.raises(ConfigError, match="serves many users; set ADLOOM_KFP_NAMESPACE to your namespace"):
        server(stand_in.url).list_schedules("shop-training")
    ann, bob = server(stand_in.url, kfp_namespace="ann"), server(stand_in.url, kfp_namespace="bob")
    run = ann.start_run(order(ann))
    assert [found.run_id for found in ann.list_runs("shop-training")] == [run.run_id]
    assert list(bob.list_runs("shop-training")) == []
