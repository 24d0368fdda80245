"""The form of an e-mail address, as Rust's regular expressions."""

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\p{L}\p{M}\p{N}-]+"
_FIRST, _INNER, _LAST = r"[\p{L}\p{N}]", r"[\p{L}\p{M}\p{N}-]", r"[\p{L}\p{M}\p{N}]"
_LABEL = rf"{_FIRST}(?:{_INNER}*{_LAST})?"
_LAST_LABEL = rf"(?:(?:[0-9]*[{_FIRST}--[0-9]]|[0-9]+\p{{M}})(?:{_INNER}*{_LAST})?|[0-9]+-{_INNER}*{_LAST})"
EMAIL = rf"\A{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LAST_LABEL}\z"
"""RFC 5321/5322, the practical subset: a dot-atom, also beyond ASCII, and a domain of two labels or more.

Quoted local parts, comments and address literals are not taken, nor a last label of digits, as IP addresses have.
"""
EMAIL_LIMITS = r"\A[^@]{65}|@(?:.*\.)?[^.@]{64}|@.{254}|\A.{255}"
"""The limits that a text of that form may still break: RFC 5321's 64, 63, 253 and 254 characters."""
EMAIL_HARMLESS_BYTES = 64
"""The number of bytes up to which no address breaks one of these limits."""
