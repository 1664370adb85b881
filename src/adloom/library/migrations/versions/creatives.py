"""Create the tables of creatives, their parents and their reviews."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "library_creatives",
        sa.Column("sequence", SEQUENCE, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("category", sa.Text),
        sa.Column("text", sa.Text),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("placement", sa.Text),
        sa.Column("model", sa.JSON),
        sa.Column("seed", sa.BigInteger),
        sa.Column("number", sa.Integer),
        sa.Column("features", sa.JSON, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reviewed_by", sa.Text),
        sa.Column("reviewed_at", sa.DateTime(timezone=True)),
        sa.Column("reason", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Index("library_creatives_by_state", "state", "kind", "category"),
    )
    op.create_table(
        "library_parents",
        sa.Column("child", sa.Text, sa.ForeignKey("library_creatives.id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("parent", sa.Text, nullable=False, index=True),
    )
    op.create_table(
        "library_reviews",
        sa.Column("sequence", SEQUENCE, primary_key=True),
        sa.Column("creative", sa.Text, sa.ForeignKey("library_creatives.id"), nullable=False, index=True),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    )
