"""The role table: what an appliance is in a pair, and the only transitions between roles (F1, F4, F11)."""

from enum import StrEnum
from typing import Final

from staffetta.kernel.states import StateTable
from staffetta.site.data.roles import Role


class RoleEvent(StrEnum):
    """What changes a role."""

    ESTABLISHED_AS_PRIMARY = "established-as-primary"
    ESTABLISHED_AS_BACKUP = "established-as-backup"
    PROMOTED = "promoted"
    STEPPED_DOWN = "stepped-down"
    BROKEN = "broken"


ROLES: Final = StateTable(
    "role",
    Role.ALONE,
    {
        (Role.ALONE, RoleEvent.ESTABLISHED_AS_PRIMARY): Role.PRIMARY,
        (Role.ALONE, RoleEvent.ESTABLISHED_AS_BACKUP): Role.BACKUP,
        (Role.PRIMARY, RoleEvent.STEPPED_DOWN): Role.BACKUP,
        (Role.BACKUP, RoleEvent.PROMOTED): Role.PRIMARY,
        (Role.PRIMARY, RoleEvent.BROKEN): Role.ALONE,
        (Role.BACKUP, RoleEvent.BROKEN): Role.ALONE,
    },
)
