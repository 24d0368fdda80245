"""Since when the mail server refuses a mail for what may be the service's own sake, so that it is counted as such."""

import sqlalchemy as sa
from alembic import op

revision = "0011_refused_mails"
down_revision = "0010_details_of_alerts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mails", sa.Column("refused_since", sa.DateTime(timezone=True)))
