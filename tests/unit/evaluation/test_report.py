"""The report: one page that stands alone, says what was measured, and escapes what it is told."""

import re
from collections.abc import Mapping
from functools import partial
from html.parser import HTMLParser

import pytest

from adloom.config.gate import Gate, MetricRule
from adloom.config.models import MODELS
from adloom.config.params import TABLES
from adloom.evaluation import figures, glossary
from adloom.evaluation.metric import Figure, Lines, Metric, Section, Table
from adloom.evaluation.report import Dataset, Model, render
from adloom.evaluation.sections import Findings

GATE = Gate.model_validate(
    {
        "gan": [MetricRule(metric="agreement", at_least=0.85), MetricRule(metric="copies", at_most=0.002)],
        "cnn": [MetricRule(metric="accuracy", at_least=0.91)],
        "lstm": [MetricRule(metric="bits_ratio", at_most=1.0)],
        "style": [MetricRule(metric="style_ratio", at_most=0.8)],
        "music": [MetricRule(metric="note_bits_ratio", at_most=1.0)],
        "audience": [MetricRule(metric="smallest_segment", at_least=100)],
        "recommender": [MetricRule(metric="ndcg_against_popularity", at_least=1, beyond_error=True)],
        "policy": [MetricRule(metric="click_rate", margin=0.0)],
    }
)


CURVES = partial(figures.draw_learning_curves, {"loss": [[1, 2.0], [2, 1.0]]})


SECTIONS: list[Section] = [
    Figure("Sample sheet", "Ten of each", CURVES),
    Lines("Lines", "As drawn", ["<script>alert('soft')</script>"]),
    Table("Worst cases", "Most confident", ["creative", "confidence"], [["a & b", 0.998], ["c", 12345]]),
]


METRICS = {
    "gan": {
        "agreement": Metric(0.894, 0.886, 0.901, 5000, "share"),
        "agreement.Bag": Metric(0.7, 0.66, 0.74, 500, "share"),
    },
    "cnn": {"accuracy": Metric(0.9057, 0.9, 0.911, 7000, "share")},
    "lstm": {"bits_ratio": Metric(0.9964, 0.99, 1.003, 1803, "ratio")},
    "style": {"style_ratio": Metric(0.53, 0.5, 0.56, 32, "ratio")},
    "music": {"note_bits_ratio": Metric(0.896, 0.881, 0.914, 102, "ratio")},
    "audience": {"smallest_segment": Metric(1234, 1234, 1234, 23570, "count")},
    "recommender": {"ndcg_against_popularity": Metric(2.5, 2.3, 2.7, 222, "ratio")},
    "policy": {"click_rate": Metric(0.0042, 0.0031, 0.0055, 16170, "share")},
}


SUMMARY = {
    "rows": {"read": 70_010, "kept": 70_000, "test": 7_000, "train": 63_000, "quarantined": 10, "dropped": 0},
    "quarantined": {"picture cannot be read": 10},
    "dropped": {},
    "duplicates": 3,
    "refunds": 2,
    "currencies": {"EUR": 5},
    "categories": {"Bag": 6000, "T-shirt/top": 6000},
    "dates": {"first": "1997-01-01T00:00:00+00:00", "last": "1998-06-30T00:00:00+00:00"},
    "warnings": ["one category only"],
}


def page(metrics: Mapping[str, Mapping[str, Metric]] = METRICS, /, **skipped: str) -> str:
    models = {
        name: Model("f" * 64, None if name in skipped else Findings(metrics[name], SECTIONS), skipped.get(name))
        for name in MODELS
    }
    datasets = {
        table: Dataset("MIT", "fashion-mnist", None if table in skipped else SUMMARY, skipped.get(table))
        for table in TABLES
    }
    return render(models, datasets, GATE)


class Outline(HTMLParser):
    """Collects what a browser would fetch, what a screen reader would miss, and whether tags are balanced."""

    VOID = ("meta", "img", "br", "line", "rect", "circle")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.silent: list[str] = []
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.fetched += [value or "" for name, value in attrs if name in {"src", "srcset", "data"}]
        self.links += [values["href"] or ""] if "href" in values else []
        self.ids += [values["id"] or ""] if "id" in values else []
        if tag in {"h1", "h2", "h3"}:
            self.headings.append(int(tag[1]))
        if (tag == "img" and not values.get("alt")) or (tag == "svg" and not values.get("aria-label")):
            self.silent.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone() -> None:
    html = page()
    outline = Outline(html)
    assert all(address.startswith("data:image/png;base64,") for address in outline.fetched)
    assert len(outline.fetched) == len(MODELS)
    assert "<script" not in html
    assert not re.search(r"url\(|@import|https?://", html)


def test_the_page_is_well_formed_and_can_be_listened_to() -> None:
    outline = Outline(page())
    assert outline.open == []
    assert outline.silent == []
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert {link.removeprefix("#") for link in outline.links} <= set(outline.ids)
    assert len(outline.ids) == len(set(outline.ids))


def test_equal_findings_make_equal_bytes() -> None:
    assert page() == page()


def test_numbers_stand_against_their_bars() -> None:
    text = page().replace("\N{NO-BREAK SPACE}", " ")
    assert 'aria-label="Agreement: 89.4 %, 95 % interval 88.6 % to 90.1 %; expected at least 85 %"' in text
    assert 'aria-label="Accuracy: 90.6 %, 95 % interval 90.0 % to 91.1 %; expected at least 91 %"' in text
    assert 'aria-label="Bits against Kneser-Ney: 0.996, 95 % interval 0.990 to 1.003; expected at most 1"' in text
    assert 'aria-label="Smallest segment: 1,234; expected at least 100"' in text
    assert (
        "5 of 7 with bars meet all of them" in text
    )  # the generator's copies were not measured, the reader's accuracy missed
    assert text.count(">not measured</span>") == 2 + 1  # the summary's rule, its card, and the generator as a whole
    assert text.count(">fail</span>") == 2
    assert '<p class="headline">0.42 %</p>\n<p class="metric">Click rate<br>' in text  # no bar, but a comparison


def test_a_model_of_which_nothing_can_be_trusted_says_so() -> None:
    sentence = "No metric of this model is reliable yet"
    assert sentence not in page()
    assert sentence in page({**METRICS, "policy": {"effective_sample_size": Metric(3, 3, 3, 16170, "count")}})


def test_text_from_data_is_escaped() -> None:
    html = page()
    assert "&lt;script&gt;alert(&#39;soft&#39;)&lt;/script&gt;" in html
    assert "a &amp; b" in html


def test_tables_align_numbers() -> None:
    assert '<td>a &amp; b</td><td class="number">0.998</td>' in page()
    assert '<td class="number">12,345</td>' in page()


def test_data_is_shown_with_its_licence_and_exclusions() -> None:
    html = page()
    assert "<dt>Licence</dt><dd>MIT</dd>" in html
    assert "10: picture cannot be read (10)" in html
    assert "1997-01-01 to 1998-06-30" in html
    assert "2: Bag, T-shirt/top" in html


def test_warnings_come_first_in_the_data_section() -> None:
    html = page(copy="no source")
    section = html[html.index('id="data"') :]
    assert section.count("one category only") == 4
    assert section.index("<strong>Creatives</strong> one category only") < section.index("<dt>Source</dt>")
    assert "Warnings about the data" not in page(**dict.fromkeys(TABLES, "no source"))


def test_skipped_models_are_shown_with_the_reason() -> None:
    html = page(lstm="no source: ingest.copy is not given", copy="no source: ingest.copy is not given")
    assert html.count("no source: ingest.copy is not given") == 3
    assert "1 was skipped" in html
    everything = page(**dict.fromkeys(MODELS, "disabled"))
    assert "Nothing was measured: every model was skipped." in everything
    assert Outline(everything).open == []


@pytest.mark.parametrize("metric", [rule.metric for model in MODELS for rule in GATE.rules(model)])
def test_gated_metrics_are_explained(metric: str) -> None:
    assert glossary.find_term(metric).sentence
