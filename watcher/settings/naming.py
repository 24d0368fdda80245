"""The names of the environment variables of settings."""

PREFIX = "USERDROP_"


def variable(field: str) -> str:
    """The name of the environment variable of a field of `Settings`."""
    return f"{PREFIX}{field.upper()}"
