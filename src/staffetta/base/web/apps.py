"""The Django application `appliance`: accounts and sessions of the people who look after this appliance."""

from django.apps import AppConfig


class ApplianceConfig(AppConfig):
    """Registers the room with Django."""

    name = "staffetta.base.web"
    label = "appliance"
