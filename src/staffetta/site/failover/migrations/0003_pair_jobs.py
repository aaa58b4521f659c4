"""Makes the pair jobs: their documents, steps, the journal of commands, and what they switch off."""

import django.db.models.deletion
from django.db import migrations, models

import staffetta.site.data.fields


class Migration(migrations.Migration):
    dependencies = [
        ("failover", "0002_link"),
    ]

    operations = [
        migrations.CreateModel(
            name="PairJob",
            fields=[
                ("id", models.CharField(editable=False, max_length=40, primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=32)),
                ("a", models.CharField(max_length=40)),
                ("b", models.CharField(max_length=40)),
                ("owner", models.CharField(max_length=40)),
                ("job_term", models.PositiveBigIntegerField()),
                ("revision", models.PositiveBigIntegerField()),
                ("told", models.CharField(db_default="", default="", max_length=100)),
                ("state", models.CharField(max_length=32)),
                ("step", models.CharField(max_length=32)),
                ("target_base", models.CharField(max_length=64, null=True)),
                ("target_site", models.CharField(max_length=64)),
                ("actor", models.CharField(max_length=150)),
                ("sentence", models.TextField(db_default="", default="")),
                ("error", models.TextField(db_default="", default="")),
                ("started", models.DateTimeField()),
                ("ended", models.DateTimeField(null=True)),
                ("backup_password", staffetta.site.data.fields.EncryptedField(null=True)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="PairHold",
            fields=[
                (
                    "only",
                    models.BooleanField(
                        db_default=True, default=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("suspended_by", models.CharField(db_default="", default="", max_length=40)),
                ("frozen_by", models.CharField(db_default="", default="", max_length=40)),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.CheckConstraint(condition=models.Q(("only", True)), name="pair_hold_only_one")],
            },
        ),
        migrations.CreateModel(
            name="PairCommand",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("step", models.CharField(max_length=40)),
                ("verb", models.CharField(max_length=32)),
                ("arguments", models.JSONField(db_default={}, default=dict)),
                ("began_at", models.DateTimeField(null=True)),
                ("done_at", models.DateTimeField(null=True)),
                ("ok", models.BooleanField(db_default=False, default=False)),
                ("sentence", models.TextField(db_default="", default="")),
                ("value", models.CharField(db_default="", default="", max_length=100)),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="commands", to="failover.pairjob"
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("job", "step", "verb"), name="pair_command_once")],
            },
        ),
        migrations.CreateModel(
            name="PairJobStep",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.PositiveIntegerField()),
                ("step", models.CharField(max_length=32)),
                ("appliance", models.CharField(max_length=8)),
                ("state", models.CharField(max_length=16)),
                ("attempt", models.PositiveIntegerField()),
                ("started", models.DateTimeField()),
                ("ended", models.DateTimeField(null=True)),
                ("evidence", models.TextField(db_default="", default="")),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="steps", to="failover.pairjob"
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("job", "number"), name="pair_job_step_once")],
            },
        ),
    ]
