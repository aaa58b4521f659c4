"""The Django app of the console room."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """Pages only: it has no tables."""

    name = "staffetta.site.console"
    label = "console"
    default_auto_field = "django.db.models.BigAutoField"
