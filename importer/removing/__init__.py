"""What leaves again: a person who is to be forgotten, and files in bak that have grown old.

It imports no users and knows nothing of verdicts. The doors are `forgetting`, `searching` (whether a file names a
person), `persons` (who is looked for) and `purging`.
"""
