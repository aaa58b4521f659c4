"""Adds the permission to manage failover."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="account",
            options={
                "default_permissions": (),
                "ordering": ("username",),
                "permissions": (
                    ("start_sessions", "Start sessions"),
                    ("modify_all_jump_clients", "Modify all jump clients"),
                    ("view_reports", "View reports"),
                    ("manage_files", "Manage files"),
                    ("manage_users", "Manage users"),
                    ("view_audit_log", "View audit log"),
                    ("manage_failover", "Manage failover"),
                ),
                "verbose_name": "user",
                "verbose_name_plural": "users",
            },
        ),
    ]
