"""The whole job with every part real: vsftpd and its clients, the service as a subprocess, a mail server."""
