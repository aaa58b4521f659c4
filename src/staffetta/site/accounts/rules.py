"""Pure: which changes to an account a person may make.

- Nobody hands out, or takes away, what they are not allowed themselves; only an administrator makes administrators
  or changes one.
- Nobody disables their own account or gives up being administrator: somebody else does, so that one is always left.
"""

from dataclasses import dataclass

from staffetta.site.accounts.permissions import Allowed


@dataclass(frozen=True, slots=True)
class Rights:
    """What one account may do: everything as administrator, else what is listed."""

    account: str
    administrator: bool
    allowed: frozenset[Allowed]

    def covers(self, wanted: frozenset[Allowed]) -> bool:
        """Whether all of ``wanted`` is allowed here."""
        return self.administrator or wanted <= self.allowed


def refusal_to_touch(actor: Rights, target: Rights) -> str | None:
    """Return why ``actor`` may not change ``target`` at all, as a stable word, or None if they may."""
    if not actor.administrator and Allowed.MANAGE_USERS not in actor.allowed:
        return "may-not-manage-users"
    if target.administrator and not actor.administrator:
        return "target-is-administrator"
    if not actor.covers(target.allowed):
        return "target-is-allowed-more"
    return None


def refusal_to_change_rights(actor: Rights, target: Rights, wanted: Rights) -> str | None:
    """Return why ``actor`` may not give ``target`` the rights ``wanted``, as a stable word, or None if they may."""
    refused = refusal_to_touch(actor, target)
    if refused is not None:
        return refused
    if wanted.administrator and not actor.administrator:
        return "only-administrators-make-administrators"
    if not actor.covers(wanted.allowed):
        return "beyond-your-own"
    if target.account == actor.account and target.administrator and not wanted.administrator:
        return "not-yourself"
    return None


def refusal_to_disable(actor: Rights, target: Rights) -> str | None:
    """Return why ``actor`` may not disable ``target``, as a stable word, or None if they may."""
    if target.account == actor.account:
        return "not-yourself"
    return refusal_to_touch(actor, target)
