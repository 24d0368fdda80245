"""Indexes by which names in bak, and the first import of the same bytes, are found in a ledger of any length."""

import sqlalchemy as sa
from alembic import op

revision = "0008_names_in_bak"
down_revision = "0007_room_for_changes"
branch_labels = None
depends_on = None

_HAS_REPORT = sa.text("report IS NOT NULL")
_CAME_FIRST = sa.text("same_as IS NULL")


def upgrade() -> None:
    op.create_index("ix_imports_archive", "imports", ["archive"])
    op.create_index("ix_imports_report", "imports", ["report"], sqlite_where=_HAS_REPORT, postgresql_where=_HAS_REPORT)
    op.create_index(
        "ix_imports_first",
        "imports",
        ["client", "sha256"],
        sqlite_where=_CAME_FIRST,
        postgresql_where=_CAME_FIRST,
    )
    op.drop_index("ix_imports_client_sha256", "imports")
