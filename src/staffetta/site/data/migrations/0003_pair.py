"""Makes what the pair needs."""

from django.db import migrations, models

import staffetta.kernel.ids


class Migration(migrations.Migration):
    dependencies = [
        ("data", "0002_records_final"),
    ]

    operations = [
        migrations.AddField(
            model_name="incarnation",
            name="fenced",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="siteinstance",
            name="frozen_until",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="siteinstance",
            name="role",
            field=models.CharField(db_default="alone", default="alone", max_length=16),
        ),
        migrations.CreateModel(
            name="KeptDocument",
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
                ("whole", models.BooleanField()),
                ("kind", models.CharField(max_length=16)),
                ("body", models.JSONField()),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("type", "key"), name="kept_document_once")],
            },
        ),
    ]
