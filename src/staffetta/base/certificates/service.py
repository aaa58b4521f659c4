"""The two certificates of an appliance on its disk: the first self-signed ones, the list, and replacing one.

`appliance.pem` is base's own (0600), `site.pem` is written by base and read by the site (0640, the site's group by
the set-group-id of the folder). Both are replaced by rename: a door sees the old one or the new one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from staffetta.base.certificates.judge import describe, read_chain
from staffetta.base.errors import CertificateRefused, UnknownName
from staffetta.control.appliance import Certificate
from staffetta.control.paths import ApplianceDescription, AppliancePaths
from staffetta.front.certificates import make_self_signed
from staffetta.kernel.clock import utc_now
from staffetta.kernel.files import write_atomically
from staffetta.kernel.log import get_logger

_log = get_logger(__name__)

SELF_SIGNED_DAYS: Final = 825
"""The longest that browsers accept of a certificate that a person has to trust by hand."""

_MODES: Final = {"appliance": 0o600, "site": 0o640}


class CertificateService:
    """Reads and writes the certificates; `replaced` is called after a file has changed."""

    def __init__(
        self,
        paths: AppliancePaths,
        description: ApplianceDescription,
        replaced: Callable[[], object] = lambda: None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._folder = paths.certificates
        self._description = description
        self._replaced = replaced
        self._clock = clock

    def path(self, name: str) -> Path:
        """The file of a door's certificate."""
        return self._folder / f"{name}.pem"

    def ensure(self) -> None:
        """Make what is missing, self-signed: doors can open at the first start."""
        for name in _MODES:
            if not self.path(name).exists():
                needed = self._needed(name)
                addresses = [each for each in needed if _is_address(each)]
                names = [each for each in needed if each not in addresses]
                self._write(name, make_self_signed(names, addresses, SELF_SIGNED_DAYS))
                _log.info("made a self-signed certificate", extra={"door": name})

    def shown(self) -> tuple[Certificate, ...]:
        """Both certificates, with their warnings."""
        return tuple(self.read(name) for name in ("site", "appliance"))

    def replace(self, name: str, pem: str) -> Certificate:
        """Check and put in place what an administrator brought. Raises UnknownName or CertificateRefused."""
        if name not in _MODES:
            raise UnknownName(f"There is no certificate {name!r}; there are `site` and `appliance`.")
        self._write(name, read_chain(pem, self._clock()).to_pem())
        self._replaced()
        return self.read(name)

    def read(self, name: str) -> Certificate:
        """One certificate, with its warnings. Raises CertificateRefused."""
        try:
            certificates = x509.load_pem_x509_certificates(self.path(name).read_bytes())
        except (OSError, ValueError):
            raise CertificateRefused(f"{self.path(name)} is missing or damaged; import a certificate.") from None
        return describe(name, certificates, self._needed(name), self._clock())

    def _needed(self, name: str) -> tuple[str, ...]:
        """The names and addresses by which a door is asked."""
        one = self._description
        first = (
            (one.hostname, urlsplit(one.site_url).hostname)
            if name == "site"
            else (urlsplit(one.appliance_url).hostname,)
        )
        hosts = (*first, *(urlsplit(f"//{address}").hostname for address in one.addresses))
        return tuple(dict.fromkeys(host for host in hosts if host))

    def _write(self, name: str, pem: bytes) -> None:
        write_atomically(self.path(name), pem, _MODES[name])


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
