"""From a settled upload to users, a ledger row and an archived file."""
