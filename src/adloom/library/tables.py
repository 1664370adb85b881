"""The tables of the library, as the newest migration leaves them."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

HEAD = "0001"  # the newest revision in migrations/versions
VERSION_TABLE = "library_version"

metadata = MetaData()
SEQUENCE = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only INTEGER up

creatives = Table(
    "library_creatives",
    metadata,
    Column("sequence", SEQUENCE, primary_key=True),  # the order of insertion
    Column("id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("category", Text),
    Column("text", Text),
    Column("width", Integer),
    Column("height", Integer),
    Column("placement", Text),
    Column("model", JSON(none_as_null=True)),
    Column("seed", BigInteger),
    Column("number", Integer),
    Column("features", JSON, nullable=False),
    Column("state", Text, nullable=False),
    Column("reviewed_by", Text),
    Column("reviewed_at", DateTime(timezone=True)),
    Column("reason", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("library_creatives_by_state", "state", "kind", "category"),
)
parents = Table(
    "library_parents",
    metadata,
    Column("child", ForeignKey(creatives.c.id), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("parent", Text, nullable=False, index=True),  # may be outside the library
)
reviews = Table(
    "library_reviews",
    metadata,
    Column("sequence", SEQUENCE, primary_key=True),
    Column("creative", ForeignKey(creatives.c.id), nullable=False, index=True),
    Column("before", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text),
    Column("time", DateTime(timezone=True), nullable=False),
)
