"""The state machine of importing: what is dropped, what goes wrong, and a pure model of what must become of it."""
