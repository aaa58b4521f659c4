"""The first tables of this room."""

from django.db import migrations, models

import staffetta.kernel.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="WebSession",
            fields=[
                ("token_hash", models.CharField(editable=False, max_length=64, primary_key=True, serialize=False)),
                ("data", models.TextField()),
                ("account_id", models.CharField(db_index=True, max_length=26, null=True)),
                ("started_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "verbose_name": "web session",
                "verbose_name_plural": "web sessions",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Account",
            fields=[
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                (
                    "is_superuser",
                    models.BooleanField(
                        default=False,
                        help_text="Designates that this user has all permissions without explicitly assigning them.",
                        verbose_name="superuser status",
                    ),
                ),
                (
                    "id",
                    models.CharField(
                        default=staffetta.kernel.ids.new_id,
                        editable=False,
                        max_length=26,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "username",
                    models.CharField(
                        error_messages={"unique": "There is an account with this user name already."},
                        max_length=150,
                        unique=True,
                        verbose_name="user name",
                    ),
                ),
                (
                    "email",
                    models.EmailField(
                        blank=True, db_default="", default="", max_length=254, verbose_name="e-mail address"
                    ),
                ),
                (
                    "must_change_password",
                    models.BooleanField(
                        db_default=False, default=False, verbose_name="must change the password at the next sign-in"
                    ),
                ),
                ("is_active", models.BooleanField(db_default=True, default=True, verbose_name="may sign in")),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created")),
                ("probe", models.BooleanField(db_default=False, default=False, editable=False)),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The groups this user belongs to. A user will get all permissions granted to each of their groups.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.group",
                        verbose_name="groups",
                    ),
                ),
                (
                    "user_permissions",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Specific permissions for this user.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.permission",
                        verbose_name="user permissions",
                    ),
                ),
            ],
            options={
                "verbose_name": "user",
                "verbose_name_plural": "users",
                "ordering": ("username",),
                "permissions": (
                    ("start_sessions", "Start sessions"),
                    ("modify_all_jump_clients", "Modify all jump clients"),
                    ("view_reports", "View reports"),
                    ("manage_files", "Manage files"),
                    ("manage_users", "Manage users"),
                    ("view_audit_log", "View audit log"),
                ),
                "default_permissions": (),
            },
        ),
    ]
