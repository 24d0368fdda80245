"""What a client's files were like, to compare new ones with, and when cells were removed from what is kept of files."""

import sqlalchemy as sa
from alembic import op

revision = "0012_clients_past"
down_revision = "0011_refused_mails"
branch_labels = None
depends_on = None

_SPARED_BY = {
    "ix_imports_cells": ("imports", "committed_at"),
    "ix_notices_cells": ("notices", "formed_at"),
    "ix_mails_cells": ("mails", "ended_at"),
}
_HAS_CELLS = sa.text("spared_at IS NULL")


def upgrade() -> None:
    op.add_column("imports", sa.Column("columns", sa.JSON(none_as_null=True)))
    for index, (table, time) in _SPARED_BY.items():
        op.add_column(table, sa.Column("spared_at", sa.DateTime(timezone=True)))
        op.create_index(index, table, ["client", time], sqlite_where=_HAS_CELLS, postgresql_where=_HAS_CELLS)
