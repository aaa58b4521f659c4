"""Adds how many clients upgrade at a time, whether they are held, and who upgrades now."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("fleet", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="UpdateSlot",
            fields=[
                ("client", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("version", models.CharField(max_length=64)),
                ("since", models.DateTimeField(db_index=True)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Rollout",
            fields=[
                (
                    "only",
                    models.BooleanField(
                        db_default=True, default=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("held", models.CharField(db_default="", default="", max_length=500)),
                ("held_since", models.DateTimeField(null=True)),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.CheckConstraint(condition=models.Q(("only", True)), name="rollout_only_one")],
            },
        ),
        migrations.CreateModel(
            name="UpdateLimit",
            fields=[
                (
                    "only",
                    models.BooleanField(
                        db_default=True, default=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("simultaneous", models.PositiveIntegerField(db_default=20, default=20)),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("only", True)), name="update_limit_only_one")
                ],
            },
        ),
    ]
