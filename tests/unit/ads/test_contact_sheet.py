import json
import re
from dataclasses import replace

from tests.support.brands import BRAND, draw_bag

from adloom.ads.composition import AdContent, Design
from adloom.ads.contact_sheet import ContactSheet, SheetItem
from adloom.ads.lint import Finding
from adloom.ads.making import AdRequest, make_ad
from adloom.ads.placements import PLACEMENTS

REQUEST = AdRequest(AdContent(draw_bag(), "Soft <b>bag</b>", "Shop now", "Bag"), PLACEMENTS["320x50"], Design())
AD = make_ad(REQUEST, BRAND)
REFUSED = replace(AD, findings=(Finding("contrast", "headline: contrast 1.20:1"),))
SHEET = ContactSheet(
    "Northfold",
    "variety alone",
    [
        SheetItem(0, "000-320x50", AD, AD.file, 0.25, "sha256:1"),
        SheetItem(1, "001-320x50", REFUSED, AD.file, None, None),
    ],
)


def test_the_json_names_files_and_reasons() -> None:
    first, second = json.loads(SHEET.to_json())["ads"]
    assert (first["file"], first["bytes"], first["expected_reward"]) == ("000-320x50.png", len(AD.file), 0.25)
    assert (second["file"], second["findings"]) == (None, [{"rule": "contrast", "reason": "headline: contrast 1.20:1"}])


def test_the_page_is_self_contained_and_escapes_texts() -> None:
    page = SHEET.to_html()
    assert "Soft &lt;b&gt;bag&lt;/b&gt;" in page
    assert "<b>" not in page
    assert "1 of 2 files keep all rules" in page
    assert re.findall(r'(?:src|href)="(.{14})', page) == ["data:image/png"] * 2
    assert "prefers-color-scheme: dark" in page


def test_findings_are_lines() -> None:
    assert SHEET.exported == 1
    assert SHEET.list_reasons() == ["001-320x50: contrast: headline: contrast 1.20:1"]
