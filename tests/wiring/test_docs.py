"""The documentation matches the code: its commands exist, its params load, its paths exist."""

import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jupytext
import pytest
import yaml

from adloom.cli.main import cli
from adloom.cli.stages import STAGES
from adloom.config.params import Params
from adloom.datasets.project import list_presets

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(path for path in (ROOT / "docs").rglob("*") if path.suffix in {".md", ".ipynb"}),
]
SHIPPED: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def text(page: Path) -> str:
    """Return a page or a notebook as Markdown."""
    content = page.read_text(encoding="utf-8")
    return jupytext.writes(jupytext.reads(content, "ipynb"), "md") if page.suffix == ".ipynb" else content


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text(page), re.DOTALL)


def commands(program: str) -> Iterator[tuple[str, str]]:
    """Yield (page, command line) for every call of a program, in code blocks and in text."""
    for page in PAGES:
        if page.name == "CHANGELOG.md":  # names old commands
            continue
        inline = re.findall(r"`([^`\n]+)`", text(page))
        lines = [line for block in blocks(page, "bash") for line in block.splitlines()] + inline
        for line in lines:
            for part in re.split(r"&&|\|", line.partition("  #")[0]):
                words = part.strip().removeprefix(".venv/bin/")
                if words.startswith(f"{program} "):
                    yield page.name, words


@pytest.mark.parametrize(("page", "line"), list(commands("make")))
def test_make_targets_exist(page: str, line: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named_targets = {word for word in shlex.split(line)[1:] if "=" not in word}
    assert named_targets <= targets, page


@pytest.mark.parametrize(("page", "line"), list(commands("adloom")))
def test_adloom_commands_parse(page: str, line: str) -> None:
    words = shlex.split(line)[1:]
    if words == ["--help"] or words[0].startswith("<"):
        return
    group = cli.make_context("adloom", ["params"])
    command = cli.get_command(group, words[0])
    if isinstance(command, click.Group):
        command = command.get_command(group, words[1])
    assert command is not None, f"{page}: {line}"
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word.partition("=")[0] for word in words[1:] if word.startswith("--")} <= known, page


@pytest.mark.parametrize(("page", "text"), [(p.name, b) for p in PAGES for b in blocks(p, "yaml")])
def test_yaml_examples_are_params_that_load(page: str, text: str) -> None:
    example: dict[str, Any] = yaml.safe_load(text)
    changed = {**SHIPPED, **{name: {**SHIPPED.get(name, {}), **block} for name, block in example.items()}}
    assert Params.model_validate(changed), page


def test_links_have_targets() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", text(page)):
            path = page.parent / target
            assert path.exists() or path.with_suffix(".ipynb").exists(), f"{page.name}: {target}"


def test_the_readme_stays_under_two_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 90


def test_every_package_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    packages = {p.parent.name for p in (ROOT / "src/adloom").glob("*/__init__.py")}
    assert {name for name in packages if f"{name}/" not in text} == set()


def test_every_package_is_in_the_architecture_table() -> None:
    table = re.findall(r"^\|.*\|$", (ROOT / "docs/architecture/index.md").read_text(encoding="utf-8"), re.MULTILINE)
    rooms = {p.stem for p in (ROOT / "src/adloom").glob("[a-z]*") if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert {name for name in rooms if f"`{name}`" not in "\n".join(table)} == set()


def test_every_preset_is_documented() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", text(ROOT / "docs/how-to/models.md"), re.MULTILINE)) >= set(list_presets())


@pytest.mark.parametrize("notebook", sorted((ROOT / "docs").rglob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_run_and_print_what_they_quote(notebook: Path, tmp_path: Path) -> None:
    cells = jupytext.read(notebook)
    script = tmp_path / "notebook.py"
    script.write_text(jupytext.writes(cells, "py:percent"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    quoted_lines = [line for block in blocks(notebook, "text") for line in block.splitlines()]
    assert quoted_lines
    assert [line for line in quoted_lines if line not in done.stdout.splitlines()] == []
    assert not any(cell.get("outputs") for cell in cells.cells)


def test_the_pipeline_diagram_names_the_stages() -> None:
    diagram = (ROOT / "docs" / "assets" / "data-way.svg").read_text(encoding="utf-8")
    names = set(re.findall(r'class="name"[^>]*>(\w+)<', diagram))
    stages = {name.replace("-", "_") for name in STAGES} - {"ingest", "prepare", "score"}
    assert stages <= names


def test_boxes_of_the_pipeline_diagram_do_not_overlap() -> None:
    diagram = (ROOT / "docs" / "assets" / "data-way.svg").read_text(encoding="utf-8")
    sides = re.findall(r'<rect class="(?!page)\w+" x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"', diagram)
    boxes = [tuple(map(int, box)) for box in sides]
    for (x, y, width, height), (left, top, other_width, other_height) in itertools.combinations(boxes, 2):
        assert x + width <= left or left + other_width <= x or y + height <= top or top + other_height <= y


def test_terms_of_the_glossary_are_explained_once() -> None:
    terms = re.findall(r"^\*\*(.+)\*\*$", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(terms) > 50
    assert sorted(set(terms)) == sorted(terms)
