"""Real servers on loopback for the end-to-end tests: FTPS, SMTP and the service itself."""
