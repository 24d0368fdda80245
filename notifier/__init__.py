"""From notices and alerts to mails that arrive."""
