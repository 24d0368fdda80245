"""`userdrop doctor`: what would go wrong is proved by doing it and undoing it, and each fault is told with its cure."""
