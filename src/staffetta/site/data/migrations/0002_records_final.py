"""Triggers that refuse to change or delete a record, whoever asks.

A later migration on this table may only add nullable columns: SQLite does that in place and the triggers stay.
"""

from django.db import migrations

_CREATE = """
CREATE TRIGGER data_record_no_{verb} BEFORE {verb} ON data_record
BEGIN SELECT RAISE(ABORT, 'records are append-only'); END
"""


class Migration(migrations.Migration):
    dependencies = [("data", "0001_initial")]

    operations = [
        migrations.RunSQL(_CREATE.format(verb=verb), f"DROP TRIGGER data_record_no_{verb}")
        for verb in ("update", "delete")
    ]
