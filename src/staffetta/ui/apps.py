"""The Django application `ui`: templates, static files and translations; it has no tables of its own."""

from django.apps import AppConfig


class UiConfig(AppConfig):
    """Registers the room with Django."""

    name = "staffetta.ui"
    label = "ui"
