"""The columns of a user file, as data: formats, format files, and the meaning of a header.

It knows no file of a client, no row and no database. The doors are `columns` (the types), `kinds` (what a cell may say,
an entry for each kind of column), `dates` (how dates may be written), `format_file` (TOML becomes a `Format`), `header`
(the columns of a file are matched with those of a format) and `patterns` (regular expressions).
"""
