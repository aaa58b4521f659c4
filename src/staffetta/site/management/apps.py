"""The Django app of the management room."""

from django.apps import AppConfig


class ManagementConfig(AppConfig):
    """Registers the audit log's projection, and that stored files hold blobs."""

    name = "staffetta.site.management"
    label = "management"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect once the models are there."""
        from staffetta.site.management import audit_log, files

        audit_log.connect()
        files.connect()
