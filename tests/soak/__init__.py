"""The soak: the real service for minutes or hours, files and faults at random, an oracle without its code.

`python -m tests.soak --help` says how it is run. The way through it:

    seed ─plan─► drops and faults ─house, faults─► what there is in the end (World) ─judging, oracle─► what is wrong
"""
