"""What is held back so that no mailbox is flooded: notices of files that are refused again and again, and alerts."""

import sqlalchemy as sa
from alembic import op

revision = "0009_bounded_noise"
down_revision = "0008_names_in_bak"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("notices", sa.Column("held_until", sa.DateTime(timezone=True)))
    held = sa.text("formed_at IS NULL AND held_until IS NOT NULL")
    op.create_index("ix_notices_held", "notices", ["client", "audience"], sqlite_where=held, postgresql_where=held)
    op.create_table(
        "tellings",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True, nullable=False),
        sa.Column("client", sa.String(255), nullable=False),
        sa.Column("audience", sa.String(20), nullable=False),
        sa.Column("code", sa.String(80), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tellings"),
    )
    op.create_index("ix_tellings_client_audience", "tellings", ["client", "audience"])
    op.add_column("alerts", sa.Column("held", sa.Integer, nullable=False, server_default="0"))
