"""The Django app of the accounts room."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Makes the first account after the first migrate, and writes sign-ins down."""

    name = "staffetta.site.accounts"
    label = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect once the models are there (they cannot be imported before)."""
        from staffetta.site.accounts import receivers

        receivers.connect(self)
