from dataclasses import replace
from pathlib import Path

import matplotlib
import pytest
from tests.support.brands import BRAND, compose_ad, find_findings, with_kit

from adloom.ads.composition import Composition
from adloom.ads.lint import RULES
from adloom.ads.placements import PLACEMENTS, Box
from adloom.ads.typefaces import Typefaces, open_typeface

DEJAVU = open_typeface(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf")


def move(ad: Composition, role: str, **place: float) -> Composition:
    """Return the ad with a text moved."""
    texts = [replace(t, box=replace(t.box, **place)) if t.role == role else t for t in ad.texts]
    return replace(ad, texts=tuple(texts))


@pytest.mark.slow
@pytest.mark.parametrize("size", PLACEMENTS)
@pytest.mark.parametrize("template", [0, 1, 2])
def test_an_ad_as_it_is_composed_keeps_all_rules(size: str, template: int) -> None:
    brand = with_kit(disclaimers=[{"text": "Terms apply."}])
    assert find_findings(compose_ad(size, template=template, brand=brand), brand) == {}


def test_a_text_that_is_too_long_does_not_fit() -> None:
    findings = find_findings(compose_ad(headline="Everything that you always needed, " * 6))
    assert "headline: 'Everything that you always needed," in findings["fit"]
    assert "does not fit; shorten it" in findings["fit"]


def test_a_text_that_the_edge_cuts_is_found() -> None:
    ad = move(compose_ad(), "headline", x=292)
    assert {"safe area"} <= find_findings(ad).keys()
    gone = move(compose_ad(), "headline", x=400)
    assert "headline: nothing of it is drawn" in find_findings(gone)["fit"]


def test_ink_outside_of_every_box_is_found() -> None:
    ad = compose_ad()
    texts = [replace(t, box=replace(t.box, width=20.0), align="left") if t.role == "headline" else t for t in ad.texts]
    assert "pixels of text are outside of their box" in find_findings(replace(ad, texts=tuple(texts)))["fit"]


def test_texts_that_overlap_are_found() -> None:
    ad = compose_ad()
    (name,) = [text for text in ad.texts if text.role == "name"]
    assert find_findings(move(ad, "headline", y=name.box.y))["fit"] == "name and headline overlap"


def test_contrast_is_that_of_the_worst_pixel_behind_the_text() -> None:
    brand = with_kit(palette={"primary": "#777777", "paper": "#ffffff", "ink": "#777777"})
    reason = find_findings(compose_ad(brand=brand), brand)["contrast"]
    assert "headline: contrast 4.48:1, expected at least 4.5:1; change the palette" in reason
    enough = with_kit(palette={"primary": "#767676", "paper": "#ffffff", "ink": "#767676"})
    assert "headline" not in find_findings(compose_ad(brand=enough), enough)["contrast"]  # its button is too pale


def test_a_photo_below_the_text_counts_where_the_text_is() -> None:
    ad = compose_ad(treatment="photo")
    assert find_findings(ad) == {}
    assert "headline: contrast 1" in find_findings(move(ad, "headline", x=20))["contrast"]


@pytest.mark.parametrize(("part", "box"), [("logo", Box(4, 20, 30, 10)), ("button", Box(260, 20, 30, 10))])
def test_logo_and_button_keep_the_margin(part: str, box: Box) -> None:
    ad = compose_ad()
    assert find_findings(replace(ad, solids={part: box}))["safe area"].startswith(f"{part}: closer than 16 pixels")


@pytest.mark.slow
def test_a_text_below_the_controls_of_an_app_is_found() -> None:
    assert "below an app's controls" in find_findings(move(compose_ad("1080x1920"), "headline", y=120))["safe area"]


def test_texts_take_a_part_of_the_ad() -> None:
    ad = compose_ad()
    area = sum(block.text.width * block.text.height for block in ad.texts) / (300 * 250)
    crowded = replace(ad, placement=replace(ad.placement, max_text_share=area - 0.001))
    assert "expected at most" in find_findings(crowded)["text share"]
    assert find_findings(replace(ad, placement=replace(ad.placement, max_text_share=area + 0.001))) == {}


def test_a_file_has_a_greatest_weight() -> None:
    ad = compose_ad()
    assert find_findings(ad, weight=150_000) == {}
    assert find_findings(ad, weight=150_001)["file weight"].startswith("150 kB, expected at most 150 kB")


def test_a_required_disclaimer_must_be_there() -> None:
    brand = with_kit(disclaimers=[{"text": "Drink responsibly.", "categories": ["Bag"]}])
    assert find_findings(compose_ad(), brand)["disclaimer"] == "'Drink responsibly.' is required and missing"
    assert find_findings(compose_ad(brand=brand), brand) == {}
    assert find_findings(compose_ad(category="Coat"), brand) == {}


@pytest.mark.parametrize(
    ("headline", "action", "word"),
    [
        ("The best bag", "Shop now", "headline: 'best'"),
        ("GUARANTEED fit", "Shop now", "headline: 'GUARANTEED'"),
        ("As cheap as Rivalco", "Shop now", "headline: 'Rivalco'"),
        ("A bag", "Free!", "action: 'Free'"),
        ("Guar\u00ad\u200banteed fit", "Shop now", "headline: 'Guaranteed'"),  # invisible characters
    ],
)
def test_banned_words_and_claims_are_found(headline: str, action: str, word: str) -> None:
    brand = with_kit(banned_words=["rivalco"])
    ad = compose_ad(headline=headline, action=action, brand=brand)
    assert find_findings(ad, brand)["banned words"] == f"{word} is a banned word or a claim that needs evidence"


def test_a_word_within_another_is_not_banned() -> None:
    assert find_findings(compose_ad(headline="Freedom for bestsellers")) == {}


def test_a_headline_has_a_greatest_length_per_size() -> None:
    text = "Soft and light and warm and dry and yours"
    assert find_findings(compose_ad("320x50", text))["copy length"] == (
        "headline: 41 characters, expected at most 40 in 320x50"
    )
    assert "copy length" not in find_findings(compose_ad("320x50", text[:40]))


def test_characters_without_a_glyph_are_found() -> None:
    reason = find_findings(compose_ad(headline="So nice \U0001f600"))["missing glyphs"]
    assert reason == "headline: Source Sans Pro cannot draw '\U0001f600'; name another font in brand.yaml"


def test_a_font_of_the_brand_draws_what_the_default_cannot() -> None:
    brand = replace(BRAND, typefaces=Typefaces(DEJAVU, DEJAVU))
    assert find_findings(compose_ad("970x250", "تسوق الآن!", brand=brand), brand) == {}


def test_every_rule_has_a_test_above() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{rule}"' in source for rule in RULES)
