"""The importer: it makes of a complete upload users, a row in the ledger and an archived file."""
