"""The watcher, in the rooms of the product."""
