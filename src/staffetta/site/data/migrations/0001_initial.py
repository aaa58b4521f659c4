"""The first tables of this room."""

from django.db import migrations, models

import staffetta.kernel.ids
import staffetta.site.data.fields


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Blob",
            fields=[
                ("sha256", models.CharField(editable=False, max_length=64, primary_key=True, serialize=False)),
                ("size", models.PositiveBigIntegerField(editable=False)),
                ("stored_at", models.DateTimeField(editable=False)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Incarnation",
            fields=[
                ("id", models.CharField(editable=False, max_length=40, primary_key=True, serialize=False)),
                ("origin", models.CharField(max_length=40)),
                ("last_sequence", models.PositiveBigIntegerField()),
                ("started_at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Probe",
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
                ("text", models.CharField(max_length=64)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="SiteKey",
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
                ("purpose", models.CharField(max_length=40, unique=True)),
                ("seed", staffetta.site.data.fields.EncryptedField()),
                ("made_at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Record",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("origin", models.CharField(editable=False, max_length=40)),
                ("incarnation", models.CharField(editable=False, max_length=40)),
                ("sequence", models.PositiveBigIntegerField(editable=False)),
                ("kind", models.CharField(editable=False, max_length=64)),
                ("at", models.DateTimeField(editable=False)),
                ("body", models.JSONField(editable=False)),
            ],
            options={
                "default_permissions": (),
                "indexes": [models.Index(fields=["kind", "at"], name="record_kind_at")],
                "constraints": [
                    models.UniqueConstraint(fields=("origin", "incarnation", "sequence"), name="record_key")
                ],
            },
        ),
        migrations.CreateModel(
            name="SiteInstance",
            fields=[
                (
                    "only",
                    models.BooleanField(
                        db_default=True, default=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "id",
                    models.CharField(default=staffetta.kernel.ids.new_id, editable=False, max_length=40, unique=True),
                ),
                ("role_term", models.PositiveBigIntegerField(db_default=1, default=1)),
                ("made_at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("only", True)), name="site_instance_only_one")
                ],
            },
        ),
    ]
