from dataclasses import replace
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.brands import BRAND, HEADLINE, compose_ad, with_kit

from adloom.ads.colours import contrast
from adloom.ads.composition import choose_button, choose_scheme
from adloom.ads.logo import Logo
from adloom.ads.placements import PLACEMENTS
from adloom.config.brand import Palette

WORDS = st.lists(st.text("abehilmnorstuw", min_size=1, max_size=9), min_size=1, max_size=9).map(" ".join)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(PLACEMENTS)), st.integers(0, 2), WORDS, st.booleans(), st.booleans())
def test_parts_never_overlap_and_stay_in_the_safe_area(
    size: str, template: int, headline: str, with_logo: bool, with_disclaimer: bool
) -> None:
    disclaimers = [{"text": "Terms apply. While stocks last."}] if with_disclaimer else []
    brand = replace(with_kit(disclaimers=disclaimers), logo=Logo("data:,", 3.0) if with_logo else None)
    ad = compose_ad(size, headline, template, brand=brand)
    if not all(block.text.fits for block in ad.texts):
        return  # lint refuses it
    safe = PLACEMENTS[size].safe_area
    parts = [*ad.solids.values(), *(block.box for block in ad.texts if block.role != "action")]
    assert all(safe.contains(box, 0.01) for box in parts)
    assert not any(first.overlaps(second) for first, second in combinations(parts, 2))
    assert all(block.text.width <= block.box.width + 0.5 for block in ad.texts)


@pytest.mark.parametrize("logo", [None, Logo("data:,", 3.0)])
def test_every_ad_shows_its_brand(logo: Logo | None) -> None:
    for size, template in product(PLACEMENTS, range(3)):
        ad = compose_ad(size, template=template, brand=replace(BRAND, logo=logo))
        assert ("logo" in ad.solids) == (logo is not None)
        assert [block.role for block in ad.texts].count("name") == (logo is None)


@pytest.mark.parametrize(("headline", "is_right"), [(HEADLINE, False), ("שלום עולם", True)])
def test_a_low_column_has_the_brand_at_the_side_of_the_button(headline: str, is_right: bool) -> None:
    ad = compose_ad(
        "970x250", headline, template=2, action="Shop the collection", brand=replace(BRAND, logo=Logo("data:,", 3.0))
    )
    logo, button = ad.solids["logo"], ad.solids["button"]
    assert (logo.right < button.x) if is_right else (logo.x > button.right)
    assert logo.y + logo.height / 2 == pytest.approx(button.y + button.height / 2)
    assert button.width <= 0.6 * ad.template.column.width + 0.1


def test_the_button_is_as_wide_as_its_text_and_two_pads() -> None:
    ad = compose_ad("300x250")
    (label,) = [block for block in ad.texts if block.role == "action"]
    assert label.text.size == 14
    assert ad.solids["button"].width == pytest.approx(label.text.width + 2 * 1.15 * 14)
    assert ad.solids["button"].height == pytest.approx(2.3 * 14)


def test_a_wide_logo_is_reduced_to_its_column() -> None:
    ad = compose_ad("160x600", brand=replace(BRAND, logo=Logo("data:,", 12.0)))
    logo = ad.solids["logo"]
    assert logo.width == 136
    assert logo.height == pytest.approx(136 / 12)


def test_without_a_logo_the_name_is_written() -> None:
    assert [block.text.lines for block in compose_ad().texts if block.role == "name"] == [("Northfold",)]


def test_a_text_from_right_to_left_begins_at_the_right() -> None:
    blocks = {block.role: block.align for block in compose_ad(headline="שלום לכולם").texts}
    assert (blocks["headline"], blocks["name"]) == ("right", "right")


def test_a_button_stands_out_from_every_ground() -> None:
    palette = Palette()
    for ground in (palette.primary, palette.accent, palette.surface):
        assert contrast(choose_button(palette, ground), ground) >= 3


def test_a_photo_over_the_whole_ad_gets_the_dark_scrim() -> None:
    ad = compose_ad(template=2, scheme="bold", treatment="photo")
    assert ad.scheme == choose_scheme(BRAND.kit.palette, "light")
    assert ad.scheme.shades.ground == BRAND.kit.palette.primary
