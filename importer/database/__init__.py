"""The database: connections to SQLite and PostgreSQL, all that differs between the two, the tables, and migrations.

It knows no file of a client and no rule about a value. The doors are `engines` (connections), `failures` (what errors
mean), `loading` (rows into tables), `fetching` (queries whose answers are frames), `dialects`, `locking`, `pooling`,
`tables`, `lookups`, `identity`, `former` (which database was used before) and `history` (what the ledger answers).
"""
