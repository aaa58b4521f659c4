"""The Django app of the fleet room."""

from django.apps import AppConfig


class FleetConfig(AppConfig):
    """Registers what revocation records do."""

    name = "staffetta.site.fleet"
    label = "fleet"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect once the models are there."""
        from staffetta.site.fleet import revocation

        revocation.connect()
