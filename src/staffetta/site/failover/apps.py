"""The Django app of the failover room."""

from django.apps import AppConfig


class FailoverConfig(AppConfig):
    """Roles, relationship, data-sync, pair jobs."""

    name = "staffetta.site.failover"
    label = "failover"
    default_auto_field = "django.db.models.BigAutoField"
