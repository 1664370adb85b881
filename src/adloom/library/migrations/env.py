"""Alembic runs this module to migrate the connection that the caller passes."""

from alembic import context

from adloom.library.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
