"""What the service shows by HTTP: metrics, health, and a page."""
