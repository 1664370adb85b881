"""What the reader adds to the records of pictures and ads."""

from tests.support.http_client import DARK, LIGHT
from tests.support.tiny_models import DIMENSIONS

from adloom.library.features import describe_picture
from adloom.serving.library.readings import add_readings
from adloom.serving.models.loader import Models


def test_only_pictures_without_a_category_get_one(models: Models) -> None:
    drafts = [describe_picture(DARK), describe_picture(LIGHT, category="Hat"), describe_picture(LIGHT, "ad")]
    read = add_readings(drafts, [DARK, LIGHT, LIGHT], models.cnn)
    assert [creative.category for creative in read] == ["Bag", "Hat", None]
    assert ["category_probability" in creative.features for creative in read] == [True, False, False]
    assert [creative.features["reader"] for creative in read] == [models.cnn.origin.digest] * 3
    (embedding,) = {tuple(creative.features["embedding"]) for creative in read[1:]}  # type: ignore[arg-type]
    assert len(embedding) == DIMENSIONS


def test_without_a_reader_nothing_changes(models: Models) -> None:
    drafts = [describe_picture(DARK)]
    assert add_readings(drafts, [DARK], None) == drafts
    assert add_readings([], [], models.cnn) == []
