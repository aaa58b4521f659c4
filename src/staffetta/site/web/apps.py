"""The Django app of the site's common pages; it has no tables."""

from django.apps import AppConfig


class WebConfig(AppConfig):
    """Registers templates and static files."""

    name = "staffetta.site.web"
    label = "web"
