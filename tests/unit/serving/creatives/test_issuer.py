"""The issuer: pictures of the endpoints are signed, with the model's origin."""

import base64
import time
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.support.http_client import encode, post_ok
from tests.support.signed_pictures import KEY, OTHER_KEY, decode_picture, draw_pixels, encode_picture

from adloom.config.settings import Settings
from adloom.credentials.keys import to_pem
from adloom.credentials.verification import PictureVerifier
from adloom.errors import ConfigError
from adloom.serving import app, server
from adloom.serving.api.schemas import DREAM, GENERATE, STYLIZE
from adloom.serving.creatives.issuer import Issuer, create_memory_issuer, open_issuer
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys

PICTURE = encode(encode_picture(draw_pixels()))
REQUESTS = {
    GENERATE: {"category": "Bag", "seed": 5},
    STYLIZE: {"content": PICTURE, "style": PICTURE, "size": 32},
    DREAM: {"picture": PICTURE, "size": 32, "steps": 1, "octaves": 1, "seed": 5},
}


@pytest.mark.parametrize("path", REQUESTS)
def test_what_an_endpoint_makes_is_signed_with_its_origin(models: Models, path: str) -> None:
    known = replace(models.loaded["gan"], dataset="b" * 64)
    dependencies = app.ServiceDependencies(PseudonymKeys(None), issuer=Issuer(lambda: KEY))
    service = server.create_named_app("creatives", Models({**models.loaded, "gan": known}, {}), dependencies)
    with TestClient(service) as client:
        answer = post_ok(client, path, REQUESTS[path])
    picture = answer["pictures"][0] if path == GENERATE else answer["picture"]
    verification = PictureVerifier(KEY).verify(base64.b64decode(picture))
    assert (verification.state, verification.ours) == ("whole", True)
    assert verification.origin is not None
    assert verification.origin.digest == answer["model"]["digest"]
    assert verification.origin.source_type == answer["source_type"]
    assert verification.origin.seed == (None if path == STYLIZE else 5)
    assert verification.origin.dataset == ("b" * 64 if path == GENERATE else None)
    expected = {GENERATE: [], STYLIZE: ["content", "style"], DREAM: ["picture"]}[path]
    assert [ingredient.title for ingredient in verification.ingredients] == expected


def test_a_certificate_that_c2pa_does_not_accept_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(to_pem((KEY.certificate, *OTHER_KEY.authorities)))
    key.write_bytes(KEY.key_pem)
    key.chmod(0o600)
    monkeypatch.setenv("ADLOOM_CREDENTIALS_CERTIFICATE", str(certificate))
    monkeypatch.setenv("ADLOOM_CREDENTIALS_KEY", str(key))
    with pytest.raises(ConfigError, match=r"C2PA refuses it: signingCredential.untrusted; expected one with"):
        open_issuer(Settings())


@pytest.mark.parametrize("path", REQUESTS)
def test_a_label_is_drawn_on_request(client: TestClient, path: str) -> None:
    plain, labelled = (post_ok(client, path, {**REQUESTS[path], "label": label}) for label in (False, True))
    first, second = (
        decode_picture(base64.b64decode(answer["pictures"][0] if path == GENERATE else answer["picture"]))
        for answer in (plain, labelled)
    )
    changed = first.reshape(*first.shape[:2], -1) != second.reshape(*second.shape[:2], -1)
    assert changed.any((0, 2))[-1]
    assert not changed[: len(first) // 2].any()


def test_a_certificate_of_this_machine_expires_in_ten_years() -> None:
    assert (create_memory_issuer().find_expiry() - time.time()) / 86400 == pytest.approx(3650, abs=1)
