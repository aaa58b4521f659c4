"""Notes what the link looks at: when it looked, a take-over under way, two backups."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("failover", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="relationship",
            name="peer_picture",
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name="relationship",
            name="looked_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="relationship",
            name="taking_over_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="relationship",
            name="without_primary_since",
            field=models.DateTimeField(null=True),
        ),
    ]
