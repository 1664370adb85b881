"""Policies find the ads that their own reader and encoder have described."""

import numpy as np

from adloom.arrays import AnyArray
from adloom.library.library import ApprovedCreative
from adloom.policy.content_model import join_features
from adloom.serving.library.ad_contents import AdContents
from adloom.serving.models.card import ModelCard

READ = {"embedding": [0.6, 0.8], "reader": "r"}
ENCODED = {"text_embedding": [1.0, 0.0, 0.0], "text_encoder": "e"}
CONTENTS = AdContents(
    [
        ApprovedCreative("read", "ad", "Bag", None, "Soft wool", READ),
        ApprovedCreative("both", "ad", None, None, "Red bag", {**READ, **ENCODED}),
        ApprovedCreative("line", "line", "Bag", None, "New", ENCODED),
        ApprovedCreative("neither", "ad", "Bag", None, None, {}),
    ]
)


def find(reader: str | None, encoder: str | None) -> tuple[list[str], AnyArray]:
    contents = CONTENTS.describe(ModelCard(reader=reader, text_encoder=encoder))
    assert contents is not None
    return contents.creatives.tolist(), contents.features


def test_a_reader_and_an_encoder_describe_what_they_know() -> None:
    ads, features = find("r", "e")
    assert ads == ["read", "both", "line"]
    pictures, sentence = np.array([[0.6, 0.8], [0.6, 0.8], [np.nan, np.nan]]), np.array([1, 0, 0])
    expected = join_features(pictures, ["Soft wool", "Red bag", "New"], [None, sentence, sentence])
    np.testing.assert_array_equal(features, expected)


def test_without_a_reader_texts_count_alone() -> None:
    ads, features = find(None, "e")
    assert ads == ["read", "both", "line"]
    assert np.isnan(features[:, -1]).tolist() == [True, False, False]


def test_an_unknown_encoder_leaves_sentences_out() -> None:
    _, words = find("r", None)
    np.testing.assert_array_equal(find("r", "another")[1], words)
    np.testing.assert_array_equal(find("r", "e")[1][:, :-3], words)


def test_the_category_of_an_ad_may_be_unknown_and_an_unknown_reader_has_read_nothing() -> None:
    described = CONTENTS.describe(ModelCard(reader="r"))
    assert described is not None
    assert described.category.tolist() == ["Bag", "", "Bag"]
    assert CONTENTS.describe(ModelCard(reader="another", text_encoder="e")) is None
    assert not AdContents().describe(ModelCard())
