"""YAML files that people write, read as YAML 1.2, as DVC reads them. What may mean something else is refused."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from adloom.errors import ConfigError

TAG = "tag:yaml.org,2002:"
PROBLEMS = {  # in plain words, by what the parser says
    "but found another document": "a second document begins; remove the line ---",
    "found character '\\t' that cannot start any token": "a tab; indent with spaces",
}
DATE = re.compile(r"\d+")  # year, month and day come first
LEADING_ZERO = re.compile(r"[-+]?0\d")


def load_yaml(path: Path) -> Any:
    """Return a file's content. Raises ConfigError, FileNotFoundError."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not YAML: not UTF-8; save it in that encoding") from None
    try:
        parser = YAML(typ="safe", pure=True)
        root = parser.compose(text)
        if ambiguities := list(_find_ambiguities(root, (), set())):
            raise ConfigError(f"{path}: {'; '.join(ambiguities)}")
        return None if root is None else parser.constructor.construct_document(root)
    except YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {_describe(error)}") from None
    except ValueError as error:  # of a value such as +_ or 0x_
        raise ConfigError(f"{path}: not YAML: {error}; put it in quotes") from None


def _find_ambiguities(node: Node, keys: tuple[str, ...], visited: set[int]) -> Iterator[str]:
    """Yield a line per duplicate key and per value that needs quotes."""
    if id(node) in visited:  # an anchor and its aliases are one node
        return
    visited.add(id(node))
    if isinstance(node, ScalarNode):
        yield from _check_scalar(node, ".".join(keys))
    elif isinstance(node, SequenceNode):
        for number, item in enumerate(node.value):
            yield from _find_ambiguities(item, (*keys, str(number)), visited)
    elif isinstance(node, MappingNode):
        first: dict[str, Node] = {}
        for key, value in node.value:
            name = str(key.value)
            if name in first:
                where = ".".join((*keys, name))
                yield f"{where}: given twice, {_show(first[name])} and {_show(value)}; keep one"
            first.setdefault(name, value)
            yield from _find_ambiguities(value, (*keys, name), visited)


def _check_scalar(node: ScalarNode, where: str) -> Iterator[str]:
    kind = str(node.tag).removeprefix(TAG) if node.style is None else "text"
    if kind == "timestamp":
        yield f"{where}: {_explain_date(node.value)}"
    elif kind == "int" and LEADING_ZERO.match(node.value):
        yield f"{where}: {node.value}: put it in quotes if it is a text, else write the number without leading zeros"
    elif kind in {"value", "merge"}:
        yield f"{where}: put {node.value} in quotes"


def _explain_date(text: str) -> str:
    try:
        date(*map(int, DATE.findall(text)[:3]))
    except ValueError:
        return f"{text} is no day of the calendar; correct it"
    return "put the date in quotes; DVC cannot read unquoted dates"


def _show(node: Node) -> str:
    value = (node.value or "null") if isinstance(node, ScalarNode) else "a list or mapping"
    return f"{value} in line {node.start_mark.line + 1}"


def _describe(error: YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    problem = str(getattr(error, "problem", None) or getattr(error, "context", None))
    return f"line {mark.line + 1}: {PROBLEMS.get(problem, f'{problem}; put texts with special characters in quotes')}"
