"""What a mail says where none of its reports fits into it: a mail is written before that is known."""

import sqlalchemy as sa
from alembic import op

revision = "0006_mails_without_attachments"
down_revision = "0005_language_of_mails"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mails", sa.Column("unattached", sa.JSON))
