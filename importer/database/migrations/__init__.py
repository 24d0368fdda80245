"""Alembic's migrations, which the service applies at its start."""
