from xml.etree import ElementTree

import pytest
from tests.support.brands import BRAND, compose_ad, with_kit

from adloom.ads.svg import write_svg

SVG = "{http://www.w3.org/2000/svg}"
LABEL = "{http://www.inkscape.org/namespaces/inkscape}label"
HOSTILE = [
    "</text><script>alert(1)</script>",
    '"><image href="http://tracker.example/p.png"/>',
    "&lt; &amp; &xxe; ]]> <!-- ",
    "<![CDATA[x]]>'\"",
]


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def test_layers_have_names_and_texts_stay_text() -> None:
    ad = compose_ad(brand=with_kit(disclaimers=[{"text": "Terms apply."}]))
    root = parse(write_svg(ad, BRAND))
    layers = [group.get(LABEL) for group in root.findall(f"{SVG}g")]
    assert layers == ["Background", "Picture", "Button", "Name", "Disclaimer", "Headline", "Action"]
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert texts == ["Northfold", "Terms apply.", "Made tobe wornevery day", "Shop now"]
    assert (root.get("viewBox"), root.findtext(f"{SVG}title")) == ("0 0 300 250", ad.content.headline)


def test_graphics_and_texts_are_the_whole() -> None:
    ad = compose_ad(treatment="photo", template=2)
    whole, graphics, texts = (parse(write_svg(ad, BRAND, part)) for part in ("all", "graphics", "texts"))
    names = [[group.get("id") for group in root.findall(f"{SVG}g")] for root in (whole, graphics, texts)]
    assert names[0] == names[1] + names[2]
    assert names[1] == ["background", "picture", "scrim", "button"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text(text: str) -> None:
    brand = with_kit(name=text[:40], disclaimers=[{"text": text}])
    root = parse(write_svg(compose_ad("970x250", text, brand=brand, action=text[:20]), brand))
    allowed = {*("svg", "title", "defs", "clipPath", "g", "rect", "path", "image", "text", "tspan")}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= allowed
    assert root.findtext(f"{SVG}title") == text
    addresses = [value for element in root.iter() for name, value in element.attrib.items() if name.endswith("href")]
    assert all(address.startswith("data:image/png;base64,") for address in addresses)


def test_a_text_from_right_to_left_is_embedded() -> None:
    text = "שלום."
    root = parse(write_svg(compose_ad(headline=text), BRAND))
    headline = next(group for group in root.findall(f"{SVG}g") if group.get("id") == "headline")
    assert "".join(headline.itertext()) == f"\u202b{text}\u202c"
    assert headline[0].get("text-anchor") == "end"
