"""
Every endpoint of the apps, asked with what its OpenAPI document allows and with what it does not: no answer is a
failure, and each is what the document says. Seeded: the same requests each time.
"""

import base64
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import positive_data_acceptance
from starlette.types import ASGIApp
from tests.support.brands import BRAND
from tests.support.creatives import make_creative, open_folder
from tests.support.tiny_models import CATEGORIES, write_models

from adloom.config.models import MODELS
from adloom.creatives import pictures
from adloom.decision_log.creative_outcomes import OutcomeCounter
from adloom.decision_log.record import Decision, decode, encode
from adloom.decision_log.verify import check_decision
from adloom.library.records import content_id
from adloom.serving import server
from adloom.serving.api import auth
from adloom.serving.api.admission import PAGES
from adloom.serving.api.ads_schemas import MAKE_ADS
from adloom.serving.app import ServiceDependencies
from adloom.serving.decide.service import MemoryLog
from adloom.serving.library.shared_library import SharedLibrary
from adloom.serving.models import loader, sources
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys
from adloom.storage.local import FolderStore

EXAMPLES = 20  # requests for each endpoint and mode: a few seconds an app
APPS = ("decide", "all")
ASKED = [(app, path) for app in APPS for path in server.APPS[app].endpoints]
SHOWN = sorted(PAGES - {"/openapi.json"})  # which is the document, and is not asked as an operation
PICTURE = base64.b64encode(pictures.encode_pngs(np.zeros((1, 3, 8, 8), np.uint8))[0]).decode()
AD = content_id(b"ad")
KNOWN = dict.fromkeys(("content", "style", "picture"), PICTURE) | dict.fromkeys(("id", "after", "parent"), AD)
# What a schema allows may still make no sense: one of two fields must be given, a category must be known to the model.
EXCLUDED = [positive_data_acceptance]


@dataclass
class Fuzzed:
    """An app, its document, and a token that opens all of it."""

    app: ASGIApp
    schema: Any
    log: MemoryLog
    token: str

    def ask(self, path: str, method: str, mode: GenerationMode, examples: int) -> Counter[int]:
        """Ask an endpoint, check each answer against the document, and count the answers by status."""
        found: Counter[int] = Counter()
        headers = {"Authorization": f"Bearer {self.token}"}

        @seed(0)
        @settings(
            max_examples=examples, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        )
        @given(case=self.schema[path][method].as_strategy(mode))
        def check(case: Case[Any]) -> None:
            if mode == GenerationMode.POSITIVE:
                _make_sense(case.body)
            response = case.call(headers=headers)
            found[int(response.status_code)] += 1
            case.validate_response(response, excluded_checks=EXCLUDED, headers=headers)

        check()
        return found


def _make_sense(body: object) -> None:
    """Change what the schema allows and the service cannot know or take, lest all are refused for that."""
    if not isinstance(body, dict):
        return
    for name, value in body.items():
        if name == "category":
            body[name] = CATEGORIES[len(str(value)) % 3]
        body[name] = KNOWN.get(name, body[name])
        if isinstance(value, float) and name != "value":
            body[name] = int(value)  # 2.0 is an integer to a schema, and none here
    for one, other in (("candidates", "category"), ("user_id", "segment"), ("users", "rows")):
        if body.get(one) is not None:
            body.pop(other, None)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = write_models(tmp_path_factory.mktemp("models"))
    return loader.load(sources.find_in_folder(folder, [*MODELS, "policy"]), threads=1)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedLibrary]:
    """Provide a library with an approved ad."""
    opened = open_folder(tmp_path_factory.mktemp("library"))
    opened.add(make_creative(b"ad", "ad", category=CATEGORIES[0], placement="300x250"), b"ad")
    opened.review(AD, "approved", "kim")
    shared = SharedLibrary(lambda: opened)
    shared.refresh()
    yield shared
    opened.close()


@pytest.fixture(scope="module")
def apps(models: Models, library: SharedLibrary, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fuzzed]:
    tokens: Path = tmp_path_factory.mktemp("tokens") / "tokens"
    token = auth.add_token(tokens, "fuzzer", auth.SCOPES)
    made = {}
    for name in APPS:
        log = MemoryLog()
        dependencies = ServiceDependencies(
            PseudonymKeys(None),
            auth=auth.TokenAuth(tokens),
            log=log,
            library=library,
            brand=BRAND,
            outcomes=OutcomeCounter(str(tokens.parent), FolderStore()),
        )
        app = server.create_named_app(name, models, dependencies)
        made[name] = Fuzzed(app, schemathesis.openapi.from_asgi("/openapi.json", app), log, token)
    return made


@pytest.mark.parametrize(("app", "path"), ASKED)
def test_what_the_document_allows(apps: dict[str, Fuzzed], app: str, path: str) -> None:
    fuzzed = apps[app]
    before = len(fuzzed.log.records)
    found = fuzzed.ask(path, "POST", GenerationMode.POSITIVE, EXAMPLES)
    assert found[200]
    assert found.keys() <= {200, 422} | ({404} if path == MAKE_ADS else set())  # of a picture_id that nothing has
    for record in fuzzed.log.records[before:]:
        assert decode(encode(record)) == record
        if isinstance(record, Decision):
            assert list(check_decision(record)) == []


@pytest.mark.parametrize(("app", "path"), ASKED)
def test_what_it_does_not_allow(apps: dict[str, Fuzzed], app: str, path: str) -> None:
    found = apps[app].ask(path, "POST", GenerationMode.NEGATIVE, EXAMPLES)
    assert found.keys() <= {
        200,
        400,
        401,
        404,
        413,
        415,
        422,
    }  # 200: the service ignores the wrong part, such as a query
    assert found.total() > found[200]


@pytest.mark.parametrize("path", SHOWN)
@pytest.mark.parametrize("app", APPS)
def test_pages(apps: dict[str, Fuzzed], app: str, path: str) -> None:
    assert apps[app].ask(path, "GET", GenerationMode.POSITIVE, 1) == {200: 1}


@pytest.mark.parametrize("app", APPS)
def test_the_document_has_all_there_is(apps: dict[str, Fuzzed], app: str) -> None:
    operations = {(found.ok().method.upper(), found.ok().path) for found in apps[app].schema.get_all_operations()}
    expected = {("POST", path) for name, path in ASKED if name == app} | {("GET", path) for path in SHOWN}
    assert operations == expected
