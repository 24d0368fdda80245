"""From an event in the upload directory to a batch of settled uploads, and the service around it."""
