"""Alembic's entry point: runs the versions on the connection that `infrastructure.sql.upkeep.migrate` hands over."""

from alembic import context

from infrastructure.sql.driver.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
