"""Room in PostgreSQL's pages of users, in those that are written from now on.

A changed user then stays in its page, and where none of the unique values changes no index takes part.
"""

from alembic import op

revision = "0007_room_for_changes"
down_revision = "0006_mails_without_attachments"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE users SET (fillfactor = 90)")
