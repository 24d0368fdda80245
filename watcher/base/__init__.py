"""The parts that a process is made of: clock, logs, signals, the limits of a child, sockets, and an instance's locks.

It knows no upload, no setting, no mail and no import; `instance` asks the importer where a database lies and who holds
a lock. Each module is a door of its own.
"""
