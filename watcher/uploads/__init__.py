"""The finding of uploads: from an event in a client's directory to a batch of complete ones.

It knows nothing of what is in a file and asks no database. The doors of the service are `clients` (an intake for each
client), `intake`, `folders` (which clients there are), `verdicts` and `server_log` (the log of the FTP server),
`settling` (when an upload is complete), `memory` (what outlasts a restart), `batching` (when a tick comes), `model`
(the nouns), and `snapshot`, `gauging` and `supervision` (what is shown of uploads and of the watch). The doctor comes
in by `watching`, `observing`, `scanning` and `mounts`, each of which it tries or asks.
"""
