"""The first tables of this room."""

import django.db.models.deletion
from django.db import migrations, models

import staffetta.kernel.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="GatewayProcess",
            fields=[
                ("id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("generation", models.CharField(max_length=64)),
                ("version", models.CharField(max_length=64)),
                ("beat_at", models.DateTimeField(db_index=True)),
                ("reps", models.JSONField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="InstallerToken",
            fields=[
                (
                    "id",
                    models.CharField(
                        default=staffetta.kernel.ids.new_id,
                        editable=False,
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("secret_sha256", models.CharField(editable=False, max_length=64, unique=True)),
                ("made_by", models.CharField(max_length=150)),
                ("made_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("uses_allowed", models.PositiveIntegerField()),
                ("uses", models.PositiveIntegerField(db_default=0, default=0)),
                ("revoked_at", models.DateTimeField(null=True)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="JumpClient",
            fields=[
                (
                    "id",
                    models.CharField(
                        default=staffetta.kernel.ids.new_id,
                        editable=False,
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("name", models.CharField(db_index=True, max_length=200)),
                ("public_key", models.BinaryField(max_length=32, unique=True)),
                ("platform", models.JSONField()),
                ("enrolled_at", models.DateTimeField()),
                ("enrolled_by_token", models.CharField(max_length=40)),
                ("revoked_at", models.DateTimeField(null=True)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Presence",
            fields=[
                (
                    "client",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="presence",
                        serialize=False,
                        to="fleet.jumpclient",
                    ),
                ),
                ("online", models.BooleanField(db_default=False, default=False)),
                ("holder", models.CharField(max_length=40)),
                ("version", models.CharField(max_length=64)),
                ("last_seen", models.DateTimeField()),
                ("detail", models.JSONField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
    ]
