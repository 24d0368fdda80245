"""Who has leased a mail."""

import sqlalchemy as sa
from alembic import op

revision = "0002_leases_of_nodes"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mails", sa.Column("leased_by", sa.String(32)))
