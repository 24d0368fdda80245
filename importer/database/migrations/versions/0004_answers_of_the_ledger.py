"""Indexes by which the ledger answers what happened to a file, and what failed since a day."""

import sqlalchemy as sa
from alembic import op

revision = "0004_answers_of_the_ledger"
down_revision = "0003_feed_hash"
branch_labels = None
depends_on = None

_FAILURES = sa.text("failed > 0 OR status <> 'imported'")


def upgrade() -> None:
    op.drop_index("ix_imports_client_file", "imports")
    op.create_index("ix_imports_client_file_committed_at", "imports", ["client", "file", "committed_at"])
    op.create_index(
        "ix_imports_failures",
        "imports",
        ["client", "committed_at"],
        sqlite_where=_FAILURES,
        postgresql_where=_FAILURES,
    )
