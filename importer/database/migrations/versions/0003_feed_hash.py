"""What the feed last gave for a user, so that rows that repeat it can be skipped."""

import sqlalchemy as sa
from alembic import op

revision = "0003_feed_hash"
down_revision = "0002_leases_of_nodes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("feed_hash", sa.String(16)))
