"""Every sentence about what keeps a database from being used, with its cure."""

from typing import NamedTuple


class CauseText(NamedTuple):
    """What a cause comes to, and what to do about it, both without their full stop."""

    what: str
    cure: str


CAUSES = {
    "password": CauseText(
        "the database server answers, and refuses the password of userdrop's user",
        "correct the password in USERDROP_DATABASE_URL, in which characters such as @ : / % are percent-encoded, or"
        " give the user that password: psql, \\password",
    ),
    "no_password": CauseText(
        "the database server answers and wants a password, and none is set",
        "set the password in USERDROP_DATABASE_URL",
    ),
    "login": CauseText(
        "the database server answers, and lets this user not in from here",
        "have the user made, as with deploy/postgresql.sql, and a line for it in the server's pg_hba.conf, which may"
        " ask for TLS: sslmode=require in USERDROP_DATABASE_URL",
    ),
    "no_database": CauseText(
        "the database server answers, and has no database of that name",
        "make the database, as with deploy/postgresql.sql, or correct its name in USERDROP_DATABASE_URL",
    ),
    "no_schema": CauseText(
        "the database has no schema in which userdrop's tables may lie",
        "make the schema for userdrop's user (CREATE SCHEMA NAME AUTHORIZATION USER), or correct"
        " USERDROP_DATABASE_SCHEMA",
    ),
    "rights": CauseText(
        "the database's user may not do what is needed",
        "have the database and its tables belong to userdrop's user, as with deploy/postgresql.sql",
    ),
    "changed": CauseText(
        "a table or a column of userdrop's is not there",
        "restore a backup of the database",
    ),
    "connections": CauseText(
        "the database server has no connection free",
        "end connections that nobody needs, or raise the server's max_connections, or the user's CONNECTION LIMIT; a"
        " service needs up to 16",
    ),
    "disk_full": CauseText(
        "the disk of the database server is full",
        "make room on the disk of the database server",
    ),
    "resources": CauseText(
        "the database server lacks memory or another resource",
        "look into the log of the database server",
    ),
    "starting": CauseText(
        "the database server is starting or stopping",
        "wait until it has started; if it does not, look into its log",
    ),
    "ended": CauseText(
        "the database server has ended the connection",
        "nothing, where it was restarted; if this comes again, look into its log",
    ),
    "cut_short": CauseText(
        "the database server has cut a statement short: it was cancelled, or took more than it may",
        "find out who cancels statements of userdrop's user, or which limit of the server's they meet; its log tells",
    ),
    "read_only": CauseText(
        "the database can only be read: the server is a standby, or default_transaction_read_only is on",
        "name the primary server in USERDROP_DATABASE_URL, or have that setting switched off",
    ),
    "locked": CauseText(
        "somebody holds a lock in the database for longer than a minute",
        "find the transaction that does not end: SELECT * FROM pg_stat_activity WHERE xact_start < now() - interval"
        " '1 minute'",
    ),
    "conflict": CauseText(
        "another transaction in the database was in the way",
        "nothing; it is tried again",
    ),
    "broken": CauseText(
        "the database server meets damage, or a fault of its disk",
        "look into the log of the database server",
    ),
    "unknown_name": CauseText(
        "the name of the database server is not known on this machine",
        "correct the host in USERDROP_DATABASE_URL, or this machine's DNS",
    ),
    "refused": CauseText(
        "no server listens at the address and port of the database",
        "start PostgreSQL (systemctl start postgresql), or correct host and port in USERDROP_DATABASE_URL; a server on"
        " another machine listens where its listen_addresses says",
    ),
    "no_socket": CauseText(
        "there is no socket of a database server in that directory",
        "start PostgreSQL (systemctl start postgresql), or correct host and port in USERDROP_DATABASE_URL",
    ),
    "forbidden": CauseText(
        "this machine does not let the service reach the address of the database",
        "let it through the unit's firewall: deploy/install --allow ADDRESS; a socket has to be open to the service's"
        " user",
    ),
    "silent": CauseText(
        "nothing answers at the address of the database",
        "see whether that machine runs, and which firewall lies between; the unit's own is opened by deploy/install"
        " --allow ADDRESS",
    ),
    "no_session": CauseText(
        "something listens at the address and port of the database, and no session came about",
        "see whether that is PostgreSQL, whether it is overloaded, and whether it and sslmode in USERDROP_DATABASE_URL"
        " agree about TLS",
    ),
    "pooled": CauseText(
        "a pooler lies before the database server, and hands a session from one connection to the next, with its locks",
        "name the server itself in USERDROP_DATABASE_URL, or have the pooler keep sessions apart (pgbouncer: pool_mode"
        " = session)",
    ),
    "option": CauseText(
        "USERDROP_DATABASE_URL has an option that PostgreSQL's client does not know",
        "correct what follows the ? in it, or leave it out",
    ),
    "lost": CauseText(
        "the connection to the database was lost",
        "nothing, where the server was restarted; if this comes again, look into its log and at the network",
    ),
    "file_locked": CauseText(
        "another program holds the write lock of the SQLite file",
        "find it if this lasts: fuser -v FILE",
    ),
    "file_read_only": CauseText(
        "the SQLite file cannot be written",
        "have the file, and its -wal and -shm, belong to the service's user, on a file system that can be written",
    ),
    "file_disk_full": CauseText(
        "the disk of the SQLite file is full",
        "make room on the disk of the database",
    ),
    "file_damaged": CauseText(
        "the SQLite file is damaged, or no database",
        "restore the file from a backup; the service imports nothing meanwhile",
    ),
    "file_unopened": CauseText(
        "the SQLite file cannot be opened",
        "see that the service's user may read and write the file and its directory",
    ),
    "file_broken": CauseText(
        "the disk of the SQLite file fails",
        "check that disk; dmesg may tell more",
    ),
}
"""Cause → its text."""

CURE = ".cure"
OUTAGE_SENTENCES = {f"database.{cause}": what for cause, (what, _) in CAUSES.items()} | {
    f"database.{cause}{CURE}": cure for cause, (_, cure) in CAUSES.items()
}
