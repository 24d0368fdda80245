"""Whether a host is this machine itself. Pure."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether a host name or address leads to no other machine; of the names only `localhost` is known to."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
