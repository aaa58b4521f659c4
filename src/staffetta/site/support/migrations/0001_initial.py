"""The first tables of this room."""

import django.db.models.deletion
from django.db import migrations, models

import staffetta.kernel.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="LiveSession",
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
                ("kind", models.CharField(max_length=32)),
                ("rep_id", models.CharField(max_length=40)),
                ("rep_name", models.CharField(max_length=150)),
                ("client_id", models.CharField(db_index=True, max_length=40)),
                ("client_name", models.CharField(max_length=200)),
                ("recorded", models.BooleanField()),
                ("probe", models.BooleanField(db_default=False, default=False)),
                ("opened_at", models.DateTimeField()),
                ("silent_since", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(db_index=True, null=True)),
                ("end_reason", models.CharField(db_default="", default="", max_length=200)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="SessionReport",
            fields=[
                ("id", models.CharField(editable=False, max_length=40, primary_key=True, serialize=False)),
                ("kind", models.CharField(db_default="", default="", max_length=32)),
                ("rep_id", models.CharField(db_default="", db_index=True, default="", max_length=40)),
                ("rep_name", models.CharField(db_default="", default="", max_length=150)),
                ("client_id", models.CharField(db_default="", db_index=True, default="", max_length=40)),
                ("client_name", models.CharField(db_default="", default="", max_length=200)),
                ("recorded", models.BooleanField(db_default=False, default=False)),
                ("opened_at", models.DateTimeField(db_index=True, null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("end_reason", models.CharField(db_default="", default="", max_length=200)),
            ],
            options={
                "verbose_name": "session report",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="AttachedEnd",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("end", models.CharField(max_length=16)),
                ("counter", models.PositiveBigIntegerField()),
                ("generation", models.CharField(max_length=64)),
                ("version", models.CharField(max_length=64)),
                ("holder", models.CharField(max_length=40)),
                ("present", models.BooleanField()),
                ("changed_at", models.DateTimeField()),
                (
                    "session",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="ends", to="support.livesession"
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("session", "end"), name="attached_end_once")],
            },
        ),
        migrations.CreateModel(
            name="SessionEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("origin", models.CharField(max_length=40)),
                ("incarnation", models.CharField(max_length=40)),
                ("sequence", models.PositiveBigIntegerField()),
                ("at", models.DateTimeField()),
                ("event", models.CharField(max_length=16)),
                ("end", models.CharField(db_default="", default="", max_length=16)),
                ("counter", models.PositiveBigIntegerField(null=True)),
                ("generation", models.CharField(db_default="", default="", max_length=64)),
                ("version", models.CharField(db_default="", default="", max_length=64)),
                ("pause_ms", models.PositiveBigIntegerField(null=True)),
                ("reason", models.CharField(db_default="", default="", max_length=200)),
                (
                    "report",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="events", to="support.sessionreport"
                    ),
                ),
            ],
            options={
                "ordering": ("at", "origin", "incarnation", "sequence"),
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("origin", "incarnation", "sequence"), name="session_event_record")
                ],
            },
        ),
        migrations.CreateModel(
            name="SessionSegment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sha256", models.CharField(db_index=True, max_length=64)),
                ("size", models.PositiveBigIntegerField()),
                ("sealed_at", models.DateTimeField()),
                (
                    "report",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="segments", to="support.sessionreport"
                    ),
                ),
            ],
            options={
                "ordering": ("sealed_at", "sha256"),
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("report", "sha256"), name="session_segment_once")],
            },
        ),
    ]
