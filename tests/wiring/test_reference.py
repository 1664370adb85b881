"""The generated reference is complete, and the built site loads nothing from elsewhere."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from typing import get_args, get_origin

import click
import pytest
from pydantic import BaseModel
from scripts import reference

from adloom import errors
from adloom.cli.main import cli
from adloom.config.params import Params
from adloom.config.settings import Settings
from adloom.data.contracts import CONTRACTS
from adloom.decision_log import record

ROOT = Path(__file__).parents[2]
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md")}


@cache
def text(page: str) -> str:
    return reference.fill(PAGES[page])


def rows(page: str) -> set[str]:
    """Return the names in the first columns of a page's tables."""
    cells = re.findall(r"^\| (`[^|]*`) \|", text(page), re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def source(*folders: str) -> str:
    files = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".yaml", ""})
    return "\n".join(path.read_text(encoding="utf-8") for path in files if path.is_file())


def test_every_table_is_on_one_page() -> None:
    used_tables = [name for page in PAGES.values() for name in re.findall(r"^\{\{ (\w+) \}\}$", page, re.MULTILINE)]
    assert sorted(used_tables) == sorted(reference.TABLES)


def test_every_page_is_in_the_index() -> None:
    assert set(re.findall(r"\((\w+)\.md\)", PAGES["index"])) == PAGES.keys() - {"index"}


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            below = command.get_command(context, child)
            assert below
            yield from commands(below, f"{name} {child}")


def test_every_command_and_option_is_documented() -> None:
    sections = dict(re.findall(r"^## (adloom[^\n]*)\n\n```text\n(.*?)^```", text("cli"), re.MULTILINE | re.DOTALL))
    known = dict(commands(cli, "adloom"))
    assert sections.keys() == known.keys()
    for name, command in known.items():
        options = [p.opts[0] for p in command.params if isinstance(p, click.Option) and not p.hidden]
        assert [option for option in options if option not in sections[name]] == [], name


def models(kind: object) -> Iterator[type[BaseModel]]:
    """Yield the models in an annotation and, recursively, in their fields."""
    if isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, BaseModel):
        yield kind
        for field in kind.model_fields.values():
            yield from models(field.annotation)
    for part in get_args(kind):
        yield from models(part)


def test_every_key_of_params_is_documented() -> None:
    keys = {field.alias or name for model in models(Params) for name, field in model.model_fields.items()}
    assert len(keys) > 50
    assert keys == rows("params")


@pytest.mark.parametrize("page", ["params", "settings", "http", "metrics", "tables"])
def test_every_row_has_a_meaning(page: str) -> None:
    described = text(page).partition("## Decision log")[0]  # the guide explains its fields
    assert re.findall(r"^\|.*\| *\|$", described, re.MULTILINE) == []


def test_every_variable_is_documented() -> None:
    read = set(
        re.findall(r"\b(ADLOOM_[A-Z]+(?:_[A-Z0-9]+)*)\b(?!_)", source("src", "k8s", "scripts", "components", ".ci"))
    )
    assert {"ADLOOM_HOME", "ADLOOM_LOG_URI"} <= read
    assert {name for name in read if f"`{name}`" not in text("settings")} == set()
    assert len(rows("settings")) >= len(Settings.model_fields)


def test_every_metric_is_documented() -> None:
    named = {
        node.value
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"adloom_[a-z_]+", node.value)
    }
    assert len(named) > 15
    assert {name for name in named if not {name, f"{name}_total"} & rows("metrics")} == set()
    metric_names = re.findall(r"adloom_[a-z_]+", source("k8s/components/monitoring"))
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in metric_names} <= rows("metrics")


def test_every_alert_is_documented() -> None:
    alerts = re.findall(r"^ +- alert: (\w+)$", reference.ALERTS.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(alerts) > 10
    assert set(alerts) <= rows("metrics")


def test_every_column_and_field_of_a_record_is_documented() -> None:
    columns = {column for contract in CONTRACTS.values() for column in contract.columns}
    fields = {field for kind in get_args(record.Line) for field in kind.__struct_fields__}
    assert columns | fields | {"type"} == rows("tables")


def test_every_endpoint_and_body_is_documented() -> None:
    paths = {
        node.value
        for node in ast.walk(ast.parse(source("src/adloom/serving", "src/adloom/kubeflow")))
        if isinstance(node, ast.Constant)
    }
    assert {path for path in paths if re.fullmatch(r"/v1/[a-z/]+", str(path))} == {
        name.partition(" ")[2] for name in rows("http") if "/v1/" in name
    }
    linked = set(re.findall(r"\]\(#(\w+)\)", text("http")))
    assert linked <= set(re.findall(r"\{ #(\w+) \}", text("http")))


def test_every_error_and_status_is_documented() -> None:
    kinds = {
        kind.__name__
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.AdloomError)
    }
    assert kinds <= rows("errors")
    raised = {
        HTTPStatus[name]
        for name in re.findall(r"HTTPStatus\.(\w+)", source("src/adloom/serving", "src/adloom/kubeflow"))
    }
    assert {
        status for status in raised if status >= HTTPStatus.BAD_REQUEST and str(status.value) not in rows("errors")
    } == set()


@pytest.mark.parametrize("module", re.findall(r"^::: ([\w.]+)$", PAGES["python"], re.MULTILINE))
def test_public_modules_can_be_imported(module: str) -> None:
    assert importlib.import_module(module).__doc__


class Loaded(HTMLParser):
    """Collect the URLs that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        key = {"script": "src", "img": "src", "iframe": "src", "link": "href"}.get(tag)
        self.addresses += [value for name, value in attrs if name == key and value]


def test_the_site_builds_and_loads_nothing_external(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        html = page.read_text(encoding="utf-8")
        assert not re.search(r"<p>(?:(?!</p>).)*\n(?:- |\| |\d+\. )", html, re.DOTALL), f"{page}: a list in a paragraph"
        loaded = Loaded()
        loaded.feed(html)
        assert loaded.addresses, page
        assert [address for address in loaded.addresses if re.match(r"(\w+:)?//", address)] == [], page
