"""The Django app of the failover room."""

from django.apps import AppConfig


class FailoverConfig(AppConfig):
    """Roles, relationship, data-sync, pair jobs."""

    name = "staffetta.site.failover"
    label = "failover"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect once the models are there."""
        from staffetta.site.failover.sync import answers

        answers.connect()
