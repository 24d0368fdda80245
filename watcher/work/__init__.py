"""Whose turn it is, and the child process that reads, validates and stores.

It looks for no upload and sends no mail. The doors are `imports` (the task that has files imported), `worker` (the
handle on the child), `jobs` (what the child is told, and how a job ends), `looking` (a child that looks for a person)
and `counting` (what has become of files).
"""
