"""What an appliance is in a failover pair; which transitions there are is for `failover.states` alone."""

from enum import StrEnum


class Role(StrEnum):
    """`ALONE` and `PRIMARY` serve users and edit configuration; a `BACKUP` follows its primary."""

    ALONE = "alone"
    PRIMARY = "primary"
    BACKUP = "backup"

    @property
    def serves(self) -> bool:
        """Whether clients, consoles and sessions belong here."""
        return self is not Role.BACKUP
