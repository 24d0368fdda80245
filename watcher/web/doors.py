"""The rules that say who may ask the HTTP server. Pure."""

import base64
import binascii
import hmac

from notifier.loopback import is_loopback


def shows(authorization: str, token: str) -> bool:
    """Whether a request's Authorization header has the token, as a bearer token or as the password of any user.

    The latter is how people's browsers ask for it. Sources: RFC 6750, RFC 7617.
    """
    scheme, _, given = authorization.partition(" ")
    given = given.strip()
    match scheme.lower():
        case "bearer":
            shown = given.encode(errors="surrogateescape")  # bytes that are no UTF-8 come as these
        case "basic":
            shown = _decoded(given).partition(b":")[2]
        case _:
            return False
    return hmac.compare_digest(shown, token.encode())


def names_this_machine(host: str) -> bool:
    """Whether a request's Host header names this machine; a page of another site, whose name leads here, does not."""
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    return is_loopback(name.removeprefix("[").removesuffix("]"))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
