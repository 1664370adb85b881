"""The creative library: rows in a database, contents by digest in a folder or in S3."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from adloom.errors import ArtifactError, DataError
from adloom.library.database import Database
from adloom.library.records import (
    ID_PREFIX,
    Creative,
    CreativeQuery,
    Kind,
    Review,
    UnknownCreativeError,
    content_id,
    find_content_name,
    make_review,
)
from adloom.library.tables import creatives, parents, reviews
from adloom.storage.base import ObjectStore, read_object, write_object

MIN_PREFIX = 4  # hexadecimal digits that may name a creative
MAX_ANCESTORS = 100
IDS_PER_QUERY = 10_000  # a database limits the parameters of a query


class ApprovedCreative(NamedTuple):
    """The fields of an ad or a line that decisions use."""

    id: str
    kind: Kind
    category: str | None
    placement: str | None
    text: str | None
    features: Mapping[str, Any]


class Library:
    """Creatives by id. Safe for many threads and processes."""

    def __init__(self, url: str, files: ObjectStore) -> None:
        """Open the library and migrate its database. Raises as Database does."""
        self.database, self.files = Database(url), files

    def add(self, creative: Creative, content: bytes) -> Creative:
        """Store a draft and return it; return the existing creative of this content. Raises DataError."""
        if content_id(content) != creative.id:
            raise DataError(f"{creative.id}: the content's id is {content_id(content)}; use content_id")
        if creative.state != "draft":
            raise DataError(f"{creative.id}: {creative.state}, expected a draft; `review` changes its state")
        write_object(self.files, find_content_name(creative.id), content)
        row = creative.model_dump(exclude={"parents"}) | {"features": dict(creative.features)}
        with self.database.write() as connection:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            statement = dialect.insert(creatives).values(row).on_conflict_do_nothing()
            added = connection.scalar(statement.returning(creatives.c.id))
            if added and creative.parents:
                connection.execute(
                    insert(parents),
                    [{"child": creative.id, "position": i, "parent": p} for i, p in enumerate(creative.parents)],
                )
        return creative if added else self.get(creative.id)

    def get(self, creative_id: str) -> Creative:
        """Return a creative. Raises UnknownCreativeError."""
        with self.database.read() as connection:
            rows = connection.execute(select(creatives).where(creatives.c.id == creative_id)).all()
            found = list(_to_creatives(rows, connection))
        if not found:
            raise UnknownCreativeError(f"{creative_id[:80]}: no creative of this id in {self.database.name}")
        return found[0]

    def read(self, creative_id: str) -> bytes:
        """Return a creative's content. Raises UnknownCreativeError, and ArtifactError when it is missing or damaged."""
        self.get(creative_id)
        name = find_content_name(creative_id)
        try:
            content = read_object(self.files, name)
        except FileNotFoundError:
            raise ArtifactError(
                f"{self.files.url}/{name}: no such file, the content of {creative_id}; restore it"
            ) from None
        if content_id(content) != creative_id:
            raise ArtifactError(f"{self.files.url}/{name}: damaged, its digest differs from its name; restore it")
        return content

    def find(self, query: CreativeQuery, limit: int | None = 100, after: str | None = None) -> list[Creative]:
        """Return creatives, the newest first; `after` continues behind the last id of a page."""
        statement = _select(query).order_by(creatives.c.sequence.desc()).limit(limit)
        with self.database.read() as connection:
            if after is not None:
                last = connection.scalar(select(creatives.c.sequence).where(creatives.c.id == after))
                if last is None:
                    raise UnknownCreativeError(f"after={after[:80]}: no creative of this id in {self.database.name}")
                statement = statement.where(creatives.c.sequence < last)
            return list(_to_creatives(connection.execute(statement).all(), connection))

    def review(self, creative_id: str, state: str, actor: str, reason: str | None = None) -> Creative:
        """Approve or reject a creative and return it; the same state again changes nothing. Raises ReviewError."""
        creative = self.get(creative_id)
        with self.database.write() as connection:
            current = select(creatives.c.state).where(creatives.c.id == creative_id).with_for_update()
            creative = creative.model_copy(update={"state": connection.scalar(current)})
            if creative.state != state:
                review = make_review(creative, state, actor, reason)
                change = {
                    "state": review.state,
                    "reviewed_by": actor,
                    "reviewed_at": review.time,
                    "reason": review.reason,
                }
                connection.execute(update(creatives).where(creatives.c.id == creative_id).values(change))
                connection.execute(insert(reviews).values(creative=creative_id, **review.model_dump()))
        return self.get(creative_id)

    def add_features(self, creative_id: str, features: Mapping[str, Any]) -> None:
        """Add features to a creative; services notice with its next review. Raises UnknownCreativeError."""
        creative = self.get(creative_id)
        change = update(creatives).where(creatives.c.id == creative_id)
        with self.database.write() as connection:
            connection.execute(change.values(features={**creative.features, **features}))

    def list_reviews(self, creative_id: str) -> list[Review]:
        """Return a creative's reviews, the oldest first."""
        columns = [column for column in reviews.c if column.name not in ("sequence", "creative")]
        statement = select(*columns).where(reviews.c.creative == creative_id).order_by(reviews.c.sequence)
        with self.database.read() as connection:
            rows = connection.execute(statement).mappings().all()
        return [Review(**{**row, "time": _to_utc(row["time"])}) for row in rows]

    def find_ancestors(self, creative: Creative) -> list[Creative]:
        """Return the creatives that a creative was made from, the nearest first; some parents may be elsewhere."""
        found: dict[str, Creative] = {}
        wanted = set(creative.parents)
        while wanted and len(found) < MAX_ANCESTORS:
            with self.database.read() as connection:
                rows = connection.execute(select(creatives).where(creatives.c.id.in_(wanted))).all()
                level = sorted(_to_creatives(rows, connection), key=lambda ancestor: ancestor.id)
            found |= {ancestor.id: ancestor for ancestor in level}
            wanted = {parent for ancestor in level for parent in ancestor.parents} - {creative.id, *found}
        return list(found.values())

    def list_approved(self) -> list[ApprovedCreative]:
        """Return the approved ads and lines, the oldest first."""
        columns = [creatives.c[name] for name in ApprovedCreative._fields]
        statement = select(*columns).where(creatives.c.state == "approved", creatives.c.kind != "picture")
        with self.database.read() as connection:
            return [ApprovedCreative(*row) for row in connection.execute(statement.order_by(creatives.c.sequence))]

    def list_rejected_draws(self) -> dict[str, set[int]]:
        """Return the numbers of the rejected pictures that a model drew, by the feature `draw`."""
        draw = creatives.c.features["draw"].as_string()
        statement = select(draw, creatives.c.number).where(
            creatives.c.state == "rejected", creatives.c.kind == "picture", creatives.c.number.is_not(None)
        )
        rejected: defaultdict[str, set[int]] = defaultdict(set)
        with self.database.read() as connection:
            for name, number in connection.execute(statement.where(draw.is_not(None))):
                rejected[name].add(number)
        return dict(rejected)

    def resolve(self, text: str) -> str:
        """Return the id that begins with a text, `sha256:` optional. Raises UnknownCreativeError unless it is one."""
        digits = text.removeprefix(ID_PREFIX).lower()
        if len(digits) < MIN_PREFIX or not set(digits) <= set("0123456789abcdef"):
            raise UnknownCreativeError(f"{text[:80]!r}: not an id; expected sha256:… or its first {MIN_PREFIX} digits")
        statement = select(creatives.c.id).where(creatives.c.id.startswith(ID_PREFIX + digits)).limit(2)
        with self.database.read() as connection:
            ids: Sequence[str] = connection.scalars(statement).all()
        if len(ids) != 1:
            problem = "several creatives begin so; give more digits" if ids else f"no creative in {self.database.name}"
            raise UnknownCreativeError(f"{text}: {problem}")
        return ids[0]

    def count_records(self) -> tuple[int, int]:
        """Return the numbers of creatives and reviews, which change with every change of the library."""
        counts = (select(func.count()).select_from(table).scalar_subquery() for table in (creatives, reviews))
        with self.database.read() as connection:
            created, reviewed = connection.execute(select(*counts)).one()
        return created, reviewed

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def _select(query: CreativeQuery) -> Select[Any]:
    statement = select(creatives)
    for name in ("kind", "state", "category", "placement"):
        if (value := getattr(query, name)) is not None:
            statement = statement.where(creatives.c[name] == value)
    if query.parent is not None:
        statement = statement.where(creatives.c.id.in_(select(parents.c.child).where(parents.c.parent == query.parent)))
    return statement


def _to_creatives(rows: Iterable[Row[Any]], connection: Any) -> Iterator[Creative]:
    """Yield the creatives of rows, with their parents."""
    rows = list(rows)
    known: dict[str, list[str]] = {row.id: [] for row in rows}
    statement = select(parents.c.child, parents.c.parent).order_by(parents.c.child, parents.c.position)
    ids = list(known)
    for start in range(0, len(ids), IDS_PER_QUERY):
        batch = statement.where(parents.c.child.in_(ids[start : start + IDS_PER_QUERY]))
        for child, parent in connection.execute(batch):
            known[child].append(parent)
    for row in rows:
        values = dict(row._mapping)
        del values["sequence"]
        times = {name: _to_utc(values[name]) for name in ("reviewed_at", "created_at")}
        yield Creative.model_validate({**values, **times, "parents": tuple(known[row.id])})


def _to_utc(time: datetime | None) -> datetime | None:
    """Return a stored time with its zone; SQLite stores none."""
    return time and (time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC))
