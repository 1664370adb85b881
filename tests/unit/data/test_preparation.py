"""Preparation of chunks of raw rows, and its memory of earlier chunks."""

import io
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adloom.config.params import Period, Prepare
from adloom.config.sources import CopySplit
from adloom.config.value_formats import ValueFormat
from adloom.data import preparation, privacy, splits
from adloom.data.contracts import PARSE_ERROR, PLACE
from adloom.data.pictures import PictureFormat
from adloom.data.preparation import Preparation, SourceFacts
from adloom.errors import ConfigError, DataError

KEY = b"a key for tests only"
YEAR = Period(holdout_start=date(2026, 7, 1), end=date(2026, 10, 1))
PARAMS = Prepare(events=YEAR, impressions=YEAR, max_quarantine_rate=1.0)
PRIVATE = SourceFacts("orders.csv", "own", public=False)


def orders(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["user_id", "timestamp", "value"], dtype="str").assign(event="purchase")


def png(shade: int, mode: str = "L", size: int = 28) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (size, size), shade if mode == "L" else (shade,) * 3).save(stream, "PNG")
    return stream.getvalue()


def creatives(*images: bytes | None) -> pd.DataFrame:
    names = [str(number) for number in range(len(images))]
    return pd.DataFrame({"creative_id": names, "category": "hats", "image": pd.Series(images, dtype="object")})


def test_events_get_pseudonyms_a_split_and_a_half() -> None:
    checked = Preparation("events", PARAMS, PRIVATE, KEY)(
        orders(("ann", "2026-06-30", "1"), ("ann", "2026-07-01", "2"))
    )
    assert checked.rows["user_id"].tolist() == [privacy.pseudonymise("ann", KEY)] * 2
    assert checked.rows["split"].tolist() == ["calibration", "holdout"]
    assert checked.rows["half"].nunique() == 1
    assert checked.quarantine.empty


def test_rows_after_the_end_are_quarantined_without_user_ids() -> None:
    task = Preparation("events", PARAMS, PRIVATE, KEY)
    quarantine = task(orders(("ann", "2026-10-01", "1"), ("ann@example.org", "2026-01-01", "7x"))).quarantine
    assert quarantine["reason"].tolist() == ["timestamp: not before prepare.events.end", "value: not a number"]
    assert quarantine["value"].tolist() == ["1", "7x"]
    assert quarantine["user_id"].tolist() == [privacy.pseudonymise(user, KEY) for user in ("ann", "ann@example.org")]


def test_refunds_and_currencies_are_counted() -> None:
    params = PARAMS.model_copy(update={"currency": "EUR", "currency_rates": {"USD": 0.5}})
    task = Preparation("events", params, PRIVATE, KEY)
    raw = orders(("ann", "2026-06-30", "8"), ("ann", "2026-07-01", "-2")).assign(currency=["EUR", "USD"])
    rows = task(raw).rows
    task.finish()
    assert rows[["event", "value", "currency"]].to_numpy().tolist() == [["purchase", 8, "EUR"], ["refund", -1, "EUR"]]
    summary = task.quality.summary()
    assert summary["refunds"] == 1
    assert summary["currencies"] == {"EUR": 1, "USD": 1}


def test_numbers_of_two_meanings_and_mixed_currencies_are_refused() -> None:
    priced = orders(("ann", "2026-06-30", "1.234"), ("ann", "2026-07-01", "950"))
    mixed = priced.assign(value="5", currency=["EUR", "USD"])
    for raw, message in ((priced, "value: 1.234 may mean 1234"), (mixed, r"EUR \(1\), USD \(1\)")):
        task = Preparation("events", PARAMS, PRIVATE, KEY)
        task(raw)
        with pytest.raises(DataError, match=message):
            task.finish()


def test_repeated_hours_are_a_warning() -> None:
    source = SourceFacts("orders.csv", "own", public=False, value_format=ValueFormat(timezone="Europe/Berlin"))
    params = PARAMS.model_copy(update={"events": Period(holdout_start=YEAR.end, end=date(2026, 12, 1))})
    task = Preparation("events", params, source, KEY)
    rows = task(orders(("ann", "2026-07-01T01:30", "1"), ("ann", "2026-10-25T02:30", "1"))).rows
    assert rows["timestamp"].dt.strftime("%d %H:%M").tolist() == ["30 23:30", "25 00:30"]
    assert "timestamp: 1 local times exist twice" in "".join(task.quality.warnings())


def test_the_place_of_a_broken_line_reaches_quarantine_and_message() -> None:
    faults = {PARSE_ERROR: pd.Series({1: "line: 7 fields, expected 5"}), PLACE: pd.Series({1: "a.csv line 9"})}
    run = Preparation("events", PARAMS, PRIVATE, KEY)
    prepared = run(orders(("ann", "2026-01-01", "1"), ("", "", "")).assign(**faults))
    assert prepared.quarantine["place"].tolist() == ["a.csv line 9"]
    assert prepared.quarantine["reason"].tolist() == ["line: 7 fields, expected 5"]
    assert "for example a.csv line 9" in run.quality.describe_failure(0)


def test_columns_outside_the_contract_reach_neither_rows_nor_quarantine() -> None:
    task = Preparation("events", PARAMS, PRIVATE, KEY)
    raw = orders(("ann", "2026-01-01", "1"), ("bob", "2026-01-01", "-1")).assign(phone="+49 30 1234")
    checked = task(raw)
    assert "phone" not in checked.rows
    assert "phone" not in checked.quarantine
    assert task.quality.summary()["columns_dropped"] == ["phone"]


def test_rows_without_consent_and_erased_users_are_dropped_and_counted() -> None:
    params = PARAMS.model_copy(update={"consent_column": "agreed"})
    task = Preparation("events", params, PRIVATE, KEY, erased=frozenset({privacy.pseudonymise("bob", KEY)}))
    raw = orders(*[(user, "2026-01-01", "1") for user in ("ann", "bob", "cid", "bob")])
    valid = task(raw.assign(agreed=["yes", "yes", "no", "yes"])).rows
    assert valid["user_id"].tolist() == [privacy.pseudonymise("ann", KEY)]
    assert task.quality.summary()["dropped"] == {"on the erasure list": 2, "without consent": 1}


def test_pseudonyms_under_this_key_stay() -> None:
    task = Preparation("events", PARAMS, PRIVATE, KEY)
    ann = privacy.pseudonymise("ann", KEY)
    raw = orders(*[(user, "2026-01-01", "1") for user in ("ann", ann, ann)])
    checked = task(raw.assign(user_key=["", privacy.key_fingerprint(KEY), privacy.key_fingerprint(KEY)]))
    assert checked.rows["user_id"].tolist() == [ann] * 3
    assert "user_key" not in checked.rows
    assert task.quality.columns_dropped == []


def test_ids_under_another_key_or_in_clear_make_invalid_rows_without_ids() -> None:
    task = Preparation("events", PARAMS, PRIVATE, KEY)
    other = privacy.pseudonymise("ann", other_key := b"another key of a test")
    raw = orders(*[(user, "2026-01-01", "1") for user in (other, "ann@example.org", "")])
    keys = [privacy.key_fingerprint(other_key), privacy.key_fingerprint(KEY), privacy.key_fingerprint(KEY)]
    quarantine = task(raw.assign(user_key=keys)).quarantine
    assert quarantine["reason"].tolist() == [
        "user_key: another key than this one",
        "user_id: not a pseudonym, as user_key says",
        "user_id: missing",
    ]
    shown = [privacy.pseudonymise(user, KEY) for user in (other, "ann@example.org")]
    assert quarantine["user_id"].tolist()[:2] == shown


def test_pseudonymous_users_are_erased_like_others() -> None:
    ann = privacy.pseudonymise("ann", KEY)
    task = Preparation("events", PARAMS, PRIVATE, KEY, erased=frozenset({ann}))
    raw = orders((ann, "2026-01-01", "1"), ("bob", "2026-01-01", "1")).assign(
        user_key=[privacy.key_fingerprint(KEY), ""]
    )
    assert task(raw).rows["user_id"].tolist() == [privacy.pseudonymise("bob", KEY)]


def test_consent_may_come_with_an_impressions_context() -> None:
    params = PARAMS.model_copy(update={"consent_column": "agreed"})
    raw = pd.DataFrame({"impression_id": ["1", "2", "3"], "timestamp": "2026-01-01", "placement": "home"}, dtype="str")
    raw = raw.assign(creative_id="c", clicked="0", ctx_agreed=["yes", "no", ""])
    checked = Preparation("impressions", params, PRIVATE, KEY)(raw)
    assert checked.rows["impression_id"].tolist() == ["1"]


def test_a_missing_consent_column_is_refused() -> None:
    params = PARAMS.model_copy(update={"consent_column": "agreed"})
    with pytest.raises(DataError, match=r"events: no column agreed \(prepare.consent_column\).* user_id, "):
        Preparation("events", params, PRIVATE, KEY)(orders(("ann", "2026-01-01", "1")))
    published = SourceFacts("cdnow", "published", public=True)
    assert len(Preparation("events", params, published, KEY)(orders(("ann", "2026-01-01", "1"))).rows) == 1


def test_identical_orders_are_kept_and_counted() -> None:
    task = Preparation("events", PARAMS, PRIVATE, KEY)
    assert len(task(orders(*[("ann", "2026-01-01", "5")] * 3)).rows) == 3
    task(orders(("ann", "2026-01-01", "5")))
    assert task.quality.duplicates == 3


def test_a_repeated_key_is_quarantined_over_chunks_and_a_broken_row_claims_none() -> None:
    task = Preparation("copy", PARAMS, PRIVATE, KEY)
    columns = ["copy_id", "text"]
    first = task(pd.DataFrame([("1", ""), ("1", "hello"), ("1", "world")], columns=columns, dtype="str"))
    second = task(pd.DataFrame([("1", "again"), ("2", "fine")], columns=columns, dtype="str"))
    assert first.rows["text"].tolist() == ["hello"]
    assert first.quarantine["reason"].tolist() == ["text: missing", "copy_id: duplicate"]
    assert second.rows["text"].tolist() == ["fine"]


def test_equal_normalised_text_is_one_split_and_a_duplicate() -> None:
    task = Preparation("copy", PARAMS, PRIVATE, KEY)
    rows = task(pd.DataFrame({"copy_id": ["1", "2", "3"], "text": ["Great fit", " great  FIT", "GREAT FIT"]})).rows
    assert rows["split"].nunique() == 1
    assert task.quality.duplicates == 2
    assert rows["category"].isna().all()


@settings(max_examples=25)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_variants_of_one_test_never_cross_splits(tests: list[int]) -> None:
    raw = pd.DataFrame({"text": [f"line {i}" for i in range(len(tests))], "test_id": [f"t{test}" for test in tests]})
    raw = raw.assign(copy_id=raw.index.astype(str))
    grouped = PARAMS.model_copy(update={"copy_": CopySplit(group="test_id")})
    rows = Preparation("copy", grouped, PRIVATE, KEY)(raw).rows
    assert rows["group"].tolist() == raw["test_id"].tolist()
    assert (rows.groupby("group")["split"].nunique() == 1).all()
    renamed = Preparation("copy", PARAMS, PRIVATE, KEY)(raw.rename(columns={"test_id": "group"})).rows
    assert renamed["split"].tolist() == rows["split"].tolist()


def test_only_training_lines_keep_their_bodies() -> None:
    raw = pd.DataFrame({"copy_id": map(str, range(30)), "text": [f"Line {i}" for i in range(30)], "body": "Yes. Yes!"})
    rows = Preparation("copy", PARAMS, PRIVATE, KEY)(raw).rows
    assert set(rows["split"][rows["body"].notna()]) == {"train"}
    assert set(rows["split"][rows["body"].isna()]) == {"validation", "test"}


def test_a_line_without_a_group_is_split_by_its_text() -> None:
    raw = pd.DataFrame({"copy_id": list("abcd"), "text": ["Red", "Blue", "red", "blue"], "group": None})
    grouped, alone = (Preparation("copy", PARAMS, PRIVATE, KEY)(rows).rows for rows in (raw, raw.iloc[:, :2]))
    assert grouped["split"].tolist() == alone["split"].tolist()


def test_a_missing_group_column_is_named_with_its_key() -> None:
    grouped = PARAMS.model_copy(update={"copy_": CopySplit(group="test")})
    with pytest.raises(DataError, match=r"copy: no column test \(prepare.copy.group\), only copy_id, text"):
        Preparation("copy", grouped, PRIVATE, KEY)(pd.DataFrame({"copy_id": ["1"], "text": ["Red"]}))


def test_a_line_of_megabytes_is_quarantined_and_odd_lines_are_kept() -> None:
    texts = ["x" * 5_000_000, "y" * 2000, "\U0001f600\U0001f600", "\u05e9\u05dc\u05d5\u05dd"]
    raw = pd.DataFrame({"copy_id": list("abcd"), "text": texts, "category": ["", " ", None, "hats"]})
    checked = Preparation("copy", PARAMS, PRIVATE, KEY)(raw)
    assert checked.quarantine["reason"].tolist() == ["text: longer than 2,000 characters"]
    assert checked.rows["text"].tolist() == texts[1:]
    assert checked.rows["category"].isna().tolist() == [True, True, False]


def test_a_tune_may_be_longer_than_a_line_of_copy() -> None:
    notation = "\n".join(["K:D", *["DFAd fdAF|"] * 200])
    checked = Preparation("tunes", PARAMS, PRIVATE, KEY)(pd.DataFrame({"tune_id": ["1"], "notation": [notation]}))
    assert checked.rows["notation"].tolist() == [notation]


def test_outcomes_of_lines_are_read_and_more_clicks_than_impressions_quarantined() -> None:
    raw = pd.DataFrame({"copy_id": ["1", "2"], "text": ["a", "b"], "impressions": ["9", "9"], "clicks": ["9", "10"]})
    checked = Preparation("copy", PARAMS, PRIVATE, KEY)(raw)
    assert checked.rows[["impressions", "clicks"]].to_numpy().tolist() == [[9, 9]]
    assert checked.quarantine["reason"].tolist() == ["clicks: more than impressions"]


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["red", "Red ", "blue", "BLUE", "green"]), min_size=1, max_size=30))
def test_equal_text_never_crosses_splits(texts: list[str]) -> None:
    raw = pd.DataFrame({"copy_id": [str(i) for i in range(len(texts))], "text": texts})
    rows = Preparation("copy", PARAMS, PRIVATE, KEY)(raw).rows
    assert (rows.groupby(rows["text"].map(splits.normalise_text))["split"].nunique() == 1).all()


def test_pictures_of_any_form_become_one() -> None:
    task = Preparation(
        "creatives", PARAMS, SourceFacts("pics", "own", public=False), KEY, picture_format=PictureFormat(32, 3)
    )
    rows = task(creatives(png(1), png(2, "RGB", 64))).rows
    assert {Image.open(io.BytesIO(image)).size for image in rows["image"]} == {(32, 32)}
    assert {Image.open(io.BytesIO(image)).mode for image in rows["image"]} == {"RGB"}
    assert rows[["width", "height", "channels", "source", "licence"]].drop_duplicates().values.tolist() == [
        [32, 32, 3, "pics", "own"]
    ]


def test_the_same_picture_in_another_file_is_one_split_and_a_duplicate() -> None:
    task = Preparation("creatives", PARAMS, PRIVATE, KEY, picture_format=PictureFormat(28, 3))
    rows = task(creatives(png(9), png(9, "RGB"), png(9, "RGB", 56))).rows
    assert rows["split"].nunique() == 1
    assert task.quality.duplicates == 2


def test_pictures_in_two_categories_are_counted_over_chunks() -> None:
    task = Preparation("creatives", PARAMS, PRIVATE, KEY, picture_format=PictureFormat(28, 3))
    for number, (categories, images) in enumerate([("aab", (1, 1, 2)), ("bcc", (1, 1, 2))]):
        rows = creatives(*map(png, images))
        task(rows.assign(creative_id=[f"{number}-{row}" for row in range(3)], category=list(categories)))
    assert task.quality.conflicting_ids == ["1-0", "1-1", "1-2"]
    assert task.quality.category_conflicts == 3


def test_attributes_are_selected_and_derived() -> None:
    rows = creatives(png(1)).assign(attr_colour="red", attr_shape="round")
    params = Prepare(attributes=["colour"], derived_attributes=["brightness", "aspect"])
    chosen = Preparation("creatives", params, PRIVATE, KEY)(rows).rows
    assert chosen.filter(like="attr_").iloc[0].to_dict() == {
        "attr_colour": "red", "attr_brightness": "dark", "attr_aspect": "square",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (Prepare(attributes=["tone"]), "prepare.attributes: tone is no attribute of the source; it has brightness"),
        (Prepare(derived_attributes=["brightness"]), "brightness is an attribute of the source, too"),
    ],
)
def test_unknown_and_repeated_attributes_are_refused(params: Prepare, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Preparation("creatives", params, PRIVATE, KEY)(creatives(png(1)).assign(attr_brightness="5"))


def test_attributes_of_creatives_are_kept_as_text() -> None:
    task = Preparation("creatives", PARAMS, PRIVATE, KEY, picture_format=PictureFormat(28, 3))
    rows = task(creatives(png(1)).assign(attr_colour="red", colour="blue")).rows
    assert rows["attr_colour"].tolist() == ["red"]
    assert "colour" not in rows


def test_composed_ads_are_of_a_split_that_no_picture_model_reads() -> None:
    task = Preparation("creatives", PARAMS, PRIVATE, KEY, picture_format=PictureFormat(28, 1))
    raw = creatives(png(1), png(2), png(3)).assign(
        kind=pd.Series(["ad", "picture", None]), text=pd.Series(["Soft wool", None, ""])
    )
    rows = task(raw).rows
    assert (rows["split"] == "ad").tolist() == [True, False, False]
    assert rows["text"].iloc[0] == "Soft wool"
    assert preparation.drop_ads(raw).index.tolist() == [1, 2]


def test_pictures_that_cannot_be_used_have_a_reason_and_are_not_kept_twice() -> None:
    task = Preparation("creatives", PARAMS, PRIVATE, KEY, picture_format=PictureFormat(28, 1))
    checked = task(creatives(png(1), None, b"text", png(2)[:50]))
    assert len(checked.rows) == 1
    assert checked.quarantine["reason"].tolist() == [
        *("image: missing", "image: not a picture", "image: truncated or damaged")
    ]
    assert "image" not in checked.quarantine


def test_headers_of_unreadable_pictures_do_not_count() -> None:
    assert [h.width for h in preparation.read_headers([png(1), b"?", None, png(1, size=64)], 10**6)] == [28, 64]
    assert not [*preparation.read_headers([png(1, size=64)], max_pixels=64 * 64 - 1)]


def test_impressions_keep_their_context_and_need_no_user() -> None:
    raw = pd.DataFrame(
        {
            "impression_id": ["1", "2", "2"],
            "timestamp": "2026-01-01T10:00:00Z",
            "placement": "home",
            "creative_id": "c",
            "clicked": ["0", "1", "1"],
            "ctx_device": "phone",
        },
        dtype="str",
    )
    checked = Preparation("impressions", PARAMS, PRIVATE, KEY)(raw)
    assert checked.rows["clicked"].tolist() == [False, True]
    assert checked.rows["ctx_device"].tolist() == ["phone", "phone"]
    assert checked.rows["user_id"].isna().all()
    assert checked.quarantine["reason"].tolist() == ["impression_id: duplicate"]
    assert "half" not in checked.rows


def test_chunks_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    raw = orders(*[(f"u{rng.integers(9)}", "2026-01-01", str(rng.integers(-1, 3))) for _ in range(60)])
    whole = Preparation("events", PARAMS, PRIVATE, KEY)
    parts = Preparation("events", PARAMS, PRIVATE, KEY)
    together = whole(raw).rows
    apart = pd.concat([parts(raw[start : start + 7]).rows for start in range(0, 60, 7)], ignore_index=True)
    pd.testing.assert_frame_equal(together, apart)
    assert whole.quality.summary() == parts.quality.summary()
