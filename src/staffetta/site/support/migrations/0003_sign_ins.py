"""Adds by what the console came online that opened a session."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("support", "0002_transfers"),
    ]

    operations = [
        migrations.AddField(
            model_name="livesession",
            name="signed_in_since",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="livesession",
            name="web",
            field=models.CharField(max_length=40, null=True),
        ),
    ]
