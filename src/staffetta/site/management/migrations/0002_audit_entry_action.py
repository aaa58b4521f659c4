"""An index by which the last backup is found without reading the whole audit log."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("management", "0001_initial")]

    operations = [
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["action", "at"], name="audit_entry_action"),
        ),
    ]
