"""The Django app of the support room."""

from django.apps import AppConfig


class SupportConfig(AppConfig):
    """Registers what session records become, and that recordings hold blobs."""

    name = "staffetta.site.support"
    label = "support"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect once the models are there."""
        from staffetta.site.support import reports

        reports.connect()
