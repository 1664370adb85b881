import pytest

from adloom.ads.headlines import COMPLAINTS, drop_other_products, find_same_category, split_name
from adloom.copywriting.line_constraint import match_words

CLOTHES = ["Ankle boot", "Bag", "Coat", "Dress", "T-shirt/top", "Trouser"]
REVIEWS = ["Bottoms", "Dresses", "Tops"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("Dresses", {"dress"}), ("T-shirt/top", {"t-shirt", "top"}), ("Bags", {"bag"}), ("Dress", {"dress"}), ("", set())],
)
def test_a_name_has_words_in_the_singular(name: str, words: set[str]) -> None:
    assert split_name(name) == words


@pytest.mark.parametrize(
    ("category", "found"),
    [("Tops", "Tops"), ("Dress", "Dresses"), ("T-shirt/top", "Tops"), ("Bag", None), (None, None)],
)
def test_another_model_may_name_a_category_in_the_plural(category: str | None, found: str | None) -> None:
    assert find_same_category(category, REVIEWS) == found


def test_lines_of_other_products_are_dropped() -> None:
    lines = ["Great shirt", "A coat for winter", "Goes with any dress", "Made to last", "My daily bag", "Stop and look"]
    categories = [*CLOTHES, *REVIEWS]
    assert drop_other_products(lines, "Bag", categories) == [
        "Great shirt",
        "Made to last",
        "My daily bag",
        "Stop and look",
    ]
    assert drop_other_products(lines[:3], "Dress", categories) == ["Great shirt", "Goes with any dress"]


def test_lines_that_all_name_other_products_are_kept() -> None:
    assert drop_other_products(["Soft dress", "Warm coat"], "Bag", CLOTHES) == ["Soft dress", "Warm coat"]
    assert drop_other_products(["Soft dress"], None, CLOTHES) == ["Soft dress"]


def test_complaints_are_recognised() -> None:
    complains = match_words(COMPLAINTS).search
    for line in ("Not a flattering top", "Great shirt, but almost!", "Love it, might be large", "Too short"):
        assert complains(line)
    for line in ("Great for any occasion", "Notable comfort", "Buttons that shine"):
        assert not complains(line)
