"""What is done of each feature while the database is away."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A table of its own, of no customer's: the products' own features have no row in `feature`. An older release does not look at it."""
    op.execute(
        """
        CREATE TABLE feature_on_outage (
            feature text NOT NULL, on_outage text NOT NULL, CONSTRAINT pk_feature_on_outage PRIMARY KEY (feature)
        )
        """
    )
