"""The Django app of the data room."""

from django.apps import AppConfig


class DataConfig(AppConfig):
    """Makes the site's identity right after the first migrate, and guards configuration where it is read-only."""

    name = "staffetta.site.data"
    label = "data"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect once the models are there (they cannot be imported before)."""
        from staffetta.site.data import documents, guard, identity

        identity.connect(self)
        documents.connect(self)
        guard.connect()
