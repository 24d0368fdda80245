"""`python -m watcher` is `userdrop`."""

from watcher.cli import main

if __name__ == "__main__":
    main()
