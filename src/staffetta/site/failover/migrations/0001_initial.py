"""Makes what the pair needs."""

from django.db import migrations, models

import staffetta.kernel.ids
import staffetta.site.data.fields


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="CommonDocument",
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
                ("type", models.CharField(max_length=100)),
                ("key", models.CharField(max_length=100)),
                ("digest", models.CharField(max_length=64)),
                ("body", models.JSONField(null=True)),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("type", "key"), name="common_document_once")],
            },
        ),
        migrations.CreateModel(
            name="PairIdentity",
            fields=[
                (
                    "only",
                    models.BooleanField(
                        db_default=True, default=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("seed", staffetta.site.data.fields.EncryptedField()),
                ("preshared_key", staffetta.site.data.fields.EncryptedField(null=True)),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("only", True)), name="pair_identity_only_one")
                ],
            },
        ),
        migrations.CreateModel(
            name="Relationship",
            fields=[
                (
                    "only",
                    models.BooleanField(
                        db_default=True, default=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("peer_origin", models.CharField(max_length=40)),
                ("peer_key", models.BinaryField(max_length=32)),
                ("peer_host", models.CharField(max_length=255)),
                ("peer_port", models.PositiveIntegerField()),
                ("own_host", models.CharField(max_length=255)),
                ("own_port", models.PositiveIntegerField()),
                ("peer_leaf", models.CharField(max_length=64)),
                ("peer_role", models.CharField(db_default="", default="", max_length=16)),
                ("peer_term", models.PositiveBigIntegerField(db_default=0, default=0)),
                ("peer_version", models.CharField(db_default="", default="", max_length=64)),
                ("established_at", models.DateTimeField()),
                ("broken_at", models.DateTimeField(null=True)),
                ("seen_at", models.DateTimeField(null=True)),
                ("alarm", models.CharField(db_default="", default="", max_length=300)),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("only", True)), name="relationship_only_one")
                ],
            },
        ),
        migrations.CreateModel(
            name="SyncState",
            fields=[
                (
                    "only",
                    models.BooleanField(
                        db_default=True, default=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("asked_at", models.DateTimeField(null=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("common_with", models.CharField(db_default="", default="", max_length=40)),
                ("reconciled", models.BooleanField(db_default=False, default=False)),
                ("records_behind", models.PositiveBigIntegerField(db_default=0, default=0)),
                ("blobs_behind", models.PositiveBigIntegerField(db_default=0, default=0)),
                ("bytes_behind", models.PositiveBigIntegerField(db_default=0, default=0)),
                ("error", models.CharField(db_default="", default="", max_length=300)),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.CheckConstraint(condition=models.Q(("only", True)), name="sync_state_only_one")],
            },
        ),
    ]
