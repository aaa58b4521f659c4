"""The Django app of the failover room."""

from django.apps import AppConfig


class FailoverConfig(AppConfig):
    """Roles, relationship, data-sync, pair jobs."""

    name = "staffetta.site.failover"
    label = "failover"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Fill the table of what the peer may ask; its entries need the models, which are loaded now."""
        from staffetta.site.failover import answering, job_answers
        from staffetta.site.failover.sync import answers, common_documents

        answering.register()
        answers.connect()
        common_documents.connect()
        job_answers.register()
