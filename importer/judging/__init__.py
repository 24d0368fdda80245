"""The judging of rows, which become verdicts: which are accepted, which fail and why; and the report of failures.

It knows no database and moves no file. The doors are `examining` (one file, block by block), `together` (small files
with the same header), `judge` (what a file is judged from, and by), `judged` (what is true only when all its rows were
taken), `uniqueness` (values that nobody else may have), `spooling` (frames that wait on disk), `reporting` (the
failed-users CSV) and `brevity` (how long that CSV may become).
"""
