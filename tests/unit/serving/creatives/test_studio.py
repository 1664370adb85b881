"""The files of the studio: complete, strict, and free of other hosts."""

import re

import pytest
from starlette.testclient import TestClient
from tests.support.studio_page import ADDRESSES, FETCHED, FILES, POSTED, SCRIPTS

from adloom.serving.api.admission import PAGES
from adloom.serving.api.endpoints import ENDPOINTS

LINKS = re.compile(r"""(?:href|src|url)\s*[=(]\s*["']?([^"' )>#]+)""")
IMPORTS = re.compile(r"""from "\./([^"]+)";""")


def test_the_page_and_its_files_are_served_with_a_strict_policy(client: TestClient) -> None:
    for path in ADDRESSES:
        response = client.get(path)
        assert response.status_code == 200, path
        policy = dict(rule.split(" ", 1) for rule in response.headers["content-security-policy"].split("; "))
        assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
        assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "'none'")
        assert policy["connect-src"] == policy["script-src"]
        assert "unsafe" not in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
    assert client.get("/").headers["content-type"] == "text/html; charset=utf-8"


def test_every_link_and_import_is_a_file_of_the_package() -> None:
    links = set(LINKS.findall(FILES["index.html"])) - {"data:,"}
    imports = {name for text in SCRIPTS.values() for name in IMPORTS.findall(text)}
    assert {link.removeprefix("studio/") for link in links} | imports == FILES.keys() - {"index.html"}


@pytest.mark.parametrize("name", FILES)
def test_nothing_comes_from_other_hosts_and_data_is_never_markup(name: str) -> None:
    text = FILES[name]
    assert re.findall(r"(?:https?:|[\"'(])//[^\s]*", text) == []
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|localStorage", text) == []
    if name == "index.html":
        assert re.findall(r"\s(?:style|on\w+)=|<script(?![^>]*\ssrc=)|<style", text) == []


def test_the_openapi_document_stays_at_its_addresses(client: TestClient) -> None:
    assert client.get("/docs.json").json() == client.get("/openapi.json").json()


def test_a_studio_token_is_enough_for_every_request_of_the_page() -> None:
    assert len(POSTED) >= 9
    assert {path for path in POSTED if "studio" not in ENDPOINTS[path].access} == set()
    assert FETCHED <= PAGES
