"""Adds passive Jump Clients: the mode of tokens and clients, where one can be woken, and since when a version serves."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("fleet", "0002_updates"),
    ]

    operations = [
        migrations.AddField(
            model_name="installertoken",
            name="passive",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="jumpclient",
            name="passive",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="presence",
            name="address",
            field=models.CharField(db_default="", default="", max_length=64),
        ),
        migrations.CreateModel(
            name="ServedVersion",
            fields=[
                (
                    "only",
                    models.BooleanField(
                        db_default=True, default=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("version", models.CharField(max_length=64)),
                ("since", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("only", True)), name="served_version_only_one")
                ],
            },
        ),
    ]
