"""Adds how consoles hang on web sessions, and since when an account's are signed in."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_manage_failover"),
    ]

    operations = [
        migrations.AddField(
            model_name="account",
            name="consoles_since",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="websession",
            name="console",
            field=models.CharField(db_index=True, editable=False, max_length=40, null=True),
        ),
        migrations.AddField(
            model_name="websession",
            name="ended_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
