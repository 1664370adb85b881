from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from tests.support.creatives import make_creative, open_folder

from adloom.errors import ArtifactError, DataError
from adloom.library.database import MIGRATIONS, upgrade
from adloom.library.library import Library
from adloom.library.records import Creative, CreativeModel, CreativeQuery, ReviewError, UnknownCreativeError, content_id
from adloom.library.tables import HEAD

UNKNOWN = content_id(b"unknown")
PNG = b"\x89PNG"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return open_folder(tmp_path)


def add(library: Library, text: str, **fields: Any) -> Creative:
    return library.add(make_creative(text.encode(), text=text, **fields), text.encode())


def test_what_is_added_is_read_again(library: Library) -> None:
    full = make_creative(
        PNG,
        "ad",
        category="Bag",
        text="Carry on",
        width=300,
        height=250,
        placement="300x250",
        model=CreativeModel(name="gan", version=3, digest="ab" * 32),
        seed=2**63 - 1,
        number=0,
        parents=(content_id(b"b"), content_id(b"a")),
        features={"embedding": [0.5, -0.25], "colours": ["#ff0000"], "layout": {"logo": True}},
    )
    assert library.add(full, PNG) == library.get(full.id) == full
    assert library.read(full.id) == PNG


def test_adding_a_content_again_keeps_what_is_known(library: Library) -> None:
    first = add(library, "Carry on", category="Bag")
    library.review(first.id, "approved", "kim")
    assert add(library, "Carry on", category="Coat", parents=(UNKNOWN,)) == library.get(first.id)
    assert library.get(first.id).category == "Bag"
    assert library.get(first.id).parents == ()


def test_a_content_of_another_id_is_refused(library: Library) -> None:
    with pytest.raises(DataError, match="use content_id"):
        library.add(make_creative(b"a"), b"b")


def test_only_drafts_are_added(library: Library) -> None:
    with pytest.raises(DataError, match="expected a draft"):
        library.add(make_creative(b"a", state="approved"), b"a")


@pytest.mark.parametrize("creative_id", [UNKNOWN, "", "../library.db", "'; drop table library_creatives", "\0"])
def test_an_unknown_id_is_one_line(library: Library, creative_id: str) -> None:
    for call in (library.get, library.read, lambda unknown: library.review(unknown, "approved", "kim")):
        with pytest.raises(UnknownCreativeError, match="no creative of this id in sqlite:"):
            call(creative_id)


def test_a_missing_content_is_one_line(library: Library, tmp_path: Path) -> None:
    line = add(library, "Carry on")
    next((tmp_path / "library").glob("*/*")).unlink()
    with pytest.raises(ArtifactError, match=f"no such file, the content of {line.id}; restore it"):
        library.read(line.id)


def test_a_damaged_content_is_not_returned(library: Library, tmp_path: Path) -> None:
    line = add(library, "Carry on")
    next((tmp_path / "library").glob("*/*")).write_bytes(b"Carry")
    with pytest.raises(ArtifactError, match="damaged, its digest differs from its name"):
        library.read(line.id)
    add(library, "Carry on")
    assert library.read(line.id) == b"Carry on"


def test_find_returns_the_newest_first_page_by_page(library: Library) -> None:
    lines = [add(library, f"line {i}") for i in range(5)][::-1]
    assert library.find(CreativeQuery()) == lines
    assert library.find(CreativeQuery(), limit=2) == lines[:2]
    assert library.find(CreativeQuery(), limit=2, after=lines[1].id) == lines[2:4]
    assert library.find(CreativeQuery(), limit=None, after=lines[3].id) == lines[4:]
    with pytest.raises(UnknownCreativeError, match="after="):
        library.find(CreativeQuery(), after=UNKNOWN)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"kind": "line"}, ["bag line"]),
        ({"category": "Bag"}, ["bag ad", "bag line"]),
        ({"placement": "300x250"}, ["bag ad"]),
        ({"parent": content_id(b"bag line")}, ["bag ad"]),
        ({"state": "approved"}, ["coat ad"]),
        ({"state": "draft", "category": "Coat"}, []),
    ],
)
def test_find_filters(library: Library, query: dict[str, str], expected: list[str]) -> None:
    line = add(library, "bag line", category="Bag")
    coat = add(library, "coat ad", kind="ad", category="Coat", placement="728x90")
    add(library, "bag ad", kind="ad", category="Bag", placement="300x250", parents=(line.id,))
    library.review(coat.id, "approved", "kim")
    assert [creative.text for creative in library.find(CreativeQuery.model_validate(query))] == expected


def test_a_review_is_kept_with_its_history(library: Library) -> None:
    line = add(library, "Carry on")
    library.review(line.id, "rejected", "kim", " too short ")
    with pytest.raises(ReviewError, match="it becomes approved only with a reason"):
        library.review(line.id, "approved", "lou", " ")
    approved = library.review(line.id, "approved", "lou", "the client likes it")
    assert (approved.state, approved.reviewed_by, approved.reason) == ("approved", "lou", "the client likes it")
    history = library.list_reviews(line.id)
    assert [(r.before, r.state, r.actor, r.reason) for r in history] == [
        ("draft", "rejected", "kim", "too short"),
        ("rejected", "approved", "lou", "the client likes it"),
    ]
    assert history[-1].time == approved.reviewed_at


@settings(max_examples=40)
@given(
    reviews=st.lists(st.tuples(st.sampled_from(["approved", "rejected"]), st.sampled_from([None, "why"])), max_size=8)
)
def test_the_history_leads_to_the_state(
    tmp_path_factory: pytest.TempPathFactory, reviews: list[tuple[str, str]]
) -> None:
    library = open_folder(tmp_path_factory.mktemp("library"))
    line = add(library, "Carry on")
    for state, reason in reviews:
        try:
            line = library.review(line.id, state, "kim", reason)
        except ReviewError:
            assert reason is None
    history = library.list_reviews(line.id)
    states = ["draft", *(review.state for review in history)]
    assert [review.before for review in history] == states[:-1]
    assert all(before != after for before, after in pairwise(states))
    assert states[-1] == line.state == library.get(line.id).state


def test_the_version_changes_with_every_change(library: Library) -> None:
    versions = [library.count_records()]
    line = add(library, "Carry on")
    versions.append(library.count_records())
    add(library, "Carry on")
    assert library.count_records() == versions[-1]
    library.review(line.id, "approved", "kim")
    assert len({*versions, library.count_records()}) == 3


def test_the_first_digits_name_a_creative(library: Library) -> None:
    line = add(library, "Carry on")
    assert (
        library.resolve(line.id) == library.resolve(line.id[7:15]) == library.resolve(line.id[7:15].upper()) == line.id
    )


@pytest.mark.parametrize(
    ("text", "reason"), [("abc", "not an id"), ("____", "not an id"), ("0000", "no creative in sqlite:")]
)
def test_other_digits_are_one_line(library: Library, text: str, reason: str) -> None:
    with pytest.raises(UnknownCreativeError, match=reason):
        library.resolve(text)


def test_digits_of_several_creatives_are_one_line(library: Library) -> None:
    add(library, "line 72")
    add(library, "line 125")
    with pytest.raises(UnknownCreativeError, match="several creatives begin so; give more digits"):
        library.resolve("52c8")


@pytest.mark.parametrize("revision", [script.revision for script in ScriptDirectory(MIGRATIONS).walk_revisions()])
def test_a_database_of_each_older_schema_is_upgraded_with_its_rows(tmp_path: Path, revision: str) -> None:
    row = {"id": UNKNOWN, "kind": "line", "media_type": "text/plain", "features": "{}", "state": "draft"}
    values = row | {"created_at": "2026-01-02 03:04:05.000000"}
    with create_engine(f"sqlite:///{tmp_path / 'library.db'}").begin() as connection:
        upgrade(connection, revision)
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        connection.execute(text(f"insert into library_creatives ({names}) values ({marks})"), values)
    with closing(open_folder(tmp_path)) as library:
        assert library.database.read_version() == HEAD
        assert library.get(UNKNOWN).created_at.isoformat() == "2026-01-02T03:04:05+00:00"
        library.review(UNKNOWN, "approved", "kim")
