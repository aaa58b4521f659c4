"""The field type for secrets: encrypted at rest with the appliance's key, redacted wherever it is shown or dumped."""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from staffetta.site.data.secrets import Secret, seal, unseal

if TYPE_CHECKING:
    _SecretText = models.TextField[Secret, Secret]
else:
    _SecretText = models.TextField


class EncryptedField(_SecretText):
    """Holds a ``Secret``; the column holds its sealed text, bound to table and column."""

    description = "A secret, encrypted at rest"

    def _place(self) -> str:
        return f"{self.model._meta.db_table}.{self.column}"

    def from_db_value(self, value: str | None, expression: Any, connection: BaseDatabaseWrapper) -> Secret | None:
        """Open what was stored."""
        return None if value is None else unseal(settings.STAFFETTA_FIELD_KEY, self._place(), value)

    def to_python(self, value: Any) -> Secret | None:
        """Accept a ``Secret`` or None and nothing else, so that no plain text slips in by assignment."""
        if value is None or isinstance(value, Secret):
            return value
        raise TypeError(f"{self.name} takes a Secret.")

    def get_prep_value(self, value: Any) -> str | None:
        """Seal for storage."""
        secret = self.to_python(value)
        return None if secret is None else seal(settings.STAFFETTA_FIELD_KEY, self._place(), secret)

    def get_lookup(self, lookup_name: str) -> Any:
        """Refuse comparisons: every sealing of one value differs, so only `isnull` can mean anything."""
        if lookup_name != "isnull":
            raise TypeError("An encrypted field cannot be searched.")
        return super().get_lookup(lookup_name)

    def value_to_string(self, obj: models.Model) -> str:
        """What serializers, bundles and before-images see."""
        return str(Secret(b""))
