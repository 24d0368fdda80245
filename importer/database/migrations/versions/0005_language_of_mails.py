"""The language in which a mail was written, so that what is added when it is sent is in the same."""

import sqlalchemy as sa
from alembic import op

revision = "0005_language_of_mails"
down_revision = "0004_answers_of_the_ledger"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mails", sa.Column("language", sa.String(8)))
