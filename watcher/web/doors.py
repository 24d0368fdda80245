"""Who may ask the HTTP server: pure."""

import base64
import binascii
import hmac
from ipaddress import ip_address


def shows(authorization: str, token: str) -> bool:
    """Whether a request's Authorization header has the token: as a bearer's, or as the password of any user.

    The latter is how people's browsers ask for it. Sources: RFC 6750, RFC 7617.
    """
    scheme, _, given = authorization.partition(" ")
    given = given.strip()
    match scheme.lower():
        case "bearer":
            shown = given.encode()
        case "basic":
            shown = _decoded(given).partition(b":")[2]
        case _:
            return False
    return hmac.compare_digest(shown, token.encode())


def names_this_machine(host: str) -> bool:
    """Whether a request's Host header says loopback: a page of another site, whose name leads here, does not."""
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    if name == "localhost":
        return True
    try:
        return ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
