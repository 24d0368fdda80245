"""The first tables."""

import sqlalchemy as sa
from alembic import op

from importer.database.tables import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _imports()
    _notices()
    _mails()
    _alerts()
    _lookups()
    _users()


def _imports() -> None:
    op.create_table(
        "imports",
        sa.Column("claim_id", sa.String(40), nullable=False),
        sa.Column("client", sa.String(255), nullable=False),
        sa.Column("directory", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("same_as", sa.String(40)),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in ("records", "accepted", "failed", "blank", "inserted", "updated", "unchanged")
        ),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("warnings", sa.JSON, nullable=False),
        sa.Column("refusal_code", sa.String(40)),
        sa.Column("refusal_message", sa.Text),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("committed_at", UtcDateTime, nullable=False),
        sa.Column("archive", sa.Text, nullable=False),
        sa.Column("report", sa.Text),
        sa.Column("archived_at", UtcDateTime),
        sa.PrimaryKeyConstraint("claim_id", name="pk_imports"),
    )
    op.create_index("ix_imports_client_committed_at", "imports", ["client", "committed_at"])
    op.create_index("ix_imports_client_file", "imports", ["client", "file"])
    op.create_index("ix_imports_client_sha256", "imports", ["client", "sha256"])
    op.create_index("ix_imports_archived_at", "imports", ["archived_at"])


def _notices() -> None:
    op.create_table(
        "notices",
        sa.Column("id", _id, nullable=False, autoincrement=True),
        sa.Column("client", sa.String(255), nullable=False),
        sa.Column("audience", sa.String(20), nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("once", sa.String(255)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("formed_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_notices"),
        sa.UniqueConstraint("once", name="uq_notices_once"),
    )
    op.create_index("ix_notices_formed_at", "notices", ["formed_at"])


def _mails() -> None:
    op.create_table(
        "mails",
        sa.Column("id", _id, nullable=False, autoincrement=True),
        sa.Column("message_id", sa.String(255), nullable=False),
        sa.Column("recipient", sa.String(320), nullable=False),
        sa.Column("client", sa.String(255)),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("html", sa.Text, nullable=False),
        sa.Column("attachments", sa.JSON, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("next_try_at", UtcDateTime, nullable=False),
        sa.Column("leased_until", UtcDateTime),
        sa.Column("ended_at", UtcDateTime),
        sa.Column("last_error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_mails"),
        sa.UniqueConstraint("message_id", name="uq_mails_message_id"),
    )
    op.create_index("ix_mails_state_next_try_at", "mails", ["state", "next_try_at"])


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", _id, nullable=False, autoincrement=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("client", sa.String(255), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("opened_at", UtcDateTime, nullable=False),
        sa.Column("mailed_at", UtcDateTime),
        sa.Column("resolved_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    op.create_index("ix_alerts_resolved_at", "alerts", ["resolved_at"])


def _lookups() -> None:
    for name in ("user_types", "login_sources"):
        op.create_table(
            name,
            sa.Column("id", sa.String(50), nullable=False),
            sa.Column("name", sa.Text, nullable=False),
            sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        )


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", _id, nullable=False, autoincrement=True),
        sa.Column("client", sa.String(255), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.String(40), nullable=False),
        sa.Column("updated_by", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
    )
