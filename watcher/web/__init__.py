"""The HTTP server of the service: metrics, health, and a page for people.

It only reads, knows no directory and no setting, and asks the tasks and the database. The doors are `gathering` (what
the answers are made of) and `serving`.
"""
