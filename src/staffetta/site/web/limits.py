"""What an administrator may set for the site: section ``[site]`` of the settings file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """``more_hosts``: further names or addresses, without port, under which people open the site's pages.

    ``time_zone`` (an IANA name) is the zone in which pages show times.
    """

    more_hosts: tuple[str, ...] = ()
    time_zone: str = "UTC"
