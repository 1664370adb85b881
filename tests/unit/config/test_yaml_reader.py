"""YAML is read as DVC reads it, and what has two meanings is refused."""

from pathlib import Path

import pytest
from dvc.utils.serialize import parse_yaml
from hypothesis import given
from hypothesis import strategies as st

from adloom.config.yaml_reader import load_yaml
from adloom.errors import ConfigError

WORDS = st.sampled_from(
    ["on", "yes", "NO", "y", "2e-3", "1e5", ".5", "1:30", "0x1F", "0o17", "1_000", "~", "NULL", "é"]
)


def read(folder: Path, text: str) -> object:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return load_yaml(path)


@given(values=st.lists(WORDS | st.from_regex(r"[-+.0-9eE_:xo]{1,6}", fullmatch=True), max_size=5))
def test_every_plain_value_is_the_one_of_dvc(tmp_path_factory: pytest.TempPathFactory, values: list[str]) -> None:
    text = "".join(f"- {value}\n" for value in values)
    try:
        loaded = read(tmp_path_factory.getbasetemp(), text)
    except ConfigError:
        return
    assert (loaded or {}) == parse_yaml(text, "params.yaml")


def test_words_and_numbers_are_read_as_meant(tmp_path: Path) -> None:
    loaded = read(tmp_path, "{rate: 2e-3, column: on, country: NO, clock: 1:30, many: 1_000, off: yes}")
    assert loaded == {"rate": 0.002, "column": "on", "country": "NO", "clock": "1:30", "many": 1000, "off": "yes"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "prepare:\n  consent: agreed\n  consent: null\n",
            "prepare.consent: given twice, agreed in line 2 and null in line 3",
        ),
        ('{"a": {"b": 1, "b": [2]}}', "a.b: given twice, 1 in line 1 and a list or mapping in line 1"),
        ("gate:\n- {metric: a, metric: b}\n", "gate.0.metric: given twice, a in line 2 and b in line 2"),
        ("a: 1\nb: 1\na: 2\nb: 2\n", "a: given twice, 1 in line 1 and 2 in line 3; keep one; b: given twice"),
        ("a: 017\n", "a: 017: put it in quotes if it is a text"),
        ("a: 2026-01-01\n", "a: put the date in quotes"),
        ("a: =\n", "a: put = in quotes"),
        ("a: +._\n", "'.'; put it in quotes"),
        ("a: 1\nb: [1\n", "not YAML: line 3: expected ',' or ']'"),
        ("a: 2026-02-30\n", "a: 2026-02-30 is no day of the calendar; correct it"),
        ("a: 1\n---\nb: 1\n", "not YAML: line 2: a second document begins; remove the line ---"),
        ("a:\n\tb: 1\n", "not YAML: line 2: a tab; indent with spaces"),
        ("a: b: c\n", "put texts with special characters in quotes"),
    ],
)
def test_a_text_with_two_meanings_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)


def test_anchors_merge_and_may_be_overridden(tmp_path: Path) -> None:
    text = "small: &small {cpu: '1', memory: 2Gi}\nlarge: {<<: *small, memory: 8Gi}\n"
    assert read(tmp_path, text) == {"small": {"cpu": "1", "memory": "2Gi"}, "large": {"cpu": "1", "memory": "8Gi"}}


def test_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes("a: é".encode("latin-1"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_yaml(tmp_path / "params.yaml")
