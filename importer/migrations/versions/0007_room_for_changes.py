"""Room in PostgreSQL's pages of users: a changed user then stays in its page, and no index takes part in the change."""

from alembic import op

revision = "0007_room_for_changes"
down_revision = "0006_mails_without_attachments"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE users SET (fillfactor = 90)")
