"""The doctor: it proves what would go wrong by doing it and undoing it, and tells each fault with its cure.

It imports no file and takes no upload in. The doors are `examining` (all that is examined, in its order), `findings`
(the nouns), `showing` (findings as a table and as JSON) and `service` (the service's own account and directories);
`database`, `directory` and `mail` are for who examines one thing only, `acls` (what a file's rights grant) and
`vsftpd_conf` (a configuration as vsftpd reads it) for who plans an account.
"""
