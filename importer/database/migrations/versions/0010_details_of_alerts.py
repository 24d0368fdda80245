"""What failed, as a code with its facts, so that an alert is told in the reader's language after a restart as well."""

import sqlalchemy as sa
from alembic import op

revision = "0010_details_of_alerts"
down_revision = "0009_bounded_noise"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alerts", sa.Column("detail_facts", sa.JSON()))
