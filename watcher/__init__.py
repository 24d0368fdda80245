"""The service: it finds complete uploads, has them imported and mails sent, and answers commands and HTTP."""
