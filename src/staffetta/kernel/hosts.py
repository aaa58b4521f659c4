"""The one spelling of a host: IP addresses are parsed where they come in, so that inside they are compared as text.

Only IPv6 has more than one spelling of an address (RFC 5952); a host name stays as it was given.
"""

import ipaddress
import re
from typing import Final

_BRACKETED: Final = re.compile(r"\[([^\[\]]+)\]")


def canonical_host(host: str) -> str:
    """The host with an IP address in its canonical form; a name unchanged."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def canonical_place(place: str) -> str:
    """A URL, or a host and port, with the IPv6 address in its brackets in canonical form."""
    return _BRACKETED.sub(lambda found: f"[{canonical_host(found[1])}]", place)
