from pathlib import Path

import pytest

from adloom.config.brand import BrandKit, load_brand_kit
from adloom.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected a mapping, got an empty file"),
        ("palette: {}", "name: required"),
        ("name: A\npalete: {}", "palete: unknown key; did you mean palette?"),
        ("name: A\npalette: {primary: red}", "palette.primary: expected a colour such as #1f3a5f, got 'red'"),
        ("name: A\npalette: {primary: '#12345'}", "palette.primary: expected a colour such as #1f3a5f, got '#12345'"),
        (f"name: {'x' * 41}", "name: String should have at most 40 characters"),
        ("name: A\ncalls_to_action: []", "calls_to_action: List should have at least 1 item"),
        ("name: A\ncalls_to_action: ['']", "calls_to_action.0: String should have at least 1 character"),
        ('name: "A\\0"', "name: expected a line of text without control characters, got 'A\\x00'"),
        ('name: "\\u202Eeerf"', "name: expected a line of text without control characters, got '\\u202eeerf'"),
        ("name: A\ntone: [' ']", "tone.0: expected a line of text without control characters, got ' '"),
        ("name: A\ntone: love", "tone: Input should be a valid list, got 'love'"),
        ("name: A\nlogo: 3", "logo: Input should be a valid string, got 3"),
        (
            "name: A\ndisclaimers: [{text: T, placements: [1x1]}]",
            "disclaimers.0.placements.0: Input should be '300x250'",
        ),
        ("name: [", "not YAML"),
    ],
)
def test_a_broken_kit_names_key_value_and_expectation(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "brand.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_brand_kit(path)
    assert str(error.value).startswith(f"{path}: ")
    assert reason in str(error.value)


def test_a_missing_kit_says_what_writes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; `adloom init` writes one, ADLOOM_BRAND names another"):
        load_brand_kit(tmp_path / "brand.yaml")


def test_disclaimers_apply_by_category_and_size() -> None:
    texts = [
        {"text": "All."},
        {"text": "Bags.", "categories": ["Bag"]},
        {"text": "Small.", "placements": ["320x50"]},
        {"text": "Both.", "categories": ["Bag"], "placements": ["320x50"]},
    ]
    kit = BrandKit.model_validate({"name": "A", "disclaimers": texts})
    assert list(kit.find_disclaimers("Bag", "320x50")) == ["All.", "Bags.", "Small.", "Both."]
    assert list(kit.find_disclaimers("bag", "300x250")) == ["All.", "Bags."]
    assert list(kit.find_disclaimers("Coat", "300x250")) == ["All."]
    assert list(kit.find_disclaimers(None, "320x50")) == ["All.", "Small."]
