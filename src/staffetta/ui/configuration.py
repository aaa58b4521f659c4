"""Settings that both faces share, so that neither can be laxer than the other; a face's settings module adds its own.

    globals().update(face_settings("appliance", secret_key=…, hosts=[…]))

What a face still sets: INSTALLED_APPS (`FACE_APPS` and its own), ROOT_URLCONF, DATABASES, AUTH_USER_MODEL,
SESSION_ENGINE, LOGIN_URL, LOGIN_REDIRECT_URL, STATIC_URL, STAFFETTA_FACE, ASGI_APPLICATION.
Its URLconf includes `staffetta.ui.signin.urls` and routes `static_files.static_file` as `static` with `<path:path>` and
`language.choose_language` as `language`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from staffetta.ui.signin.limits import COOL_OFF, FAILURE_LIMIT

FACE_APPS: Final = (
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "staffetta.ui",
)

MIDDLEWARE: Final = (
    "staffetta.ui.headers.StrictHeaders",
    "staffetta.ui.headers.AddressFromDoor",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "staffetta.ui.signin.middleware.MustChangePassword",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
)

PASSWORD_LENGTH: Final = 12

_LOCALE: Final = Path(__file__).parent / "locale"

LANGUAGE_REMEMBERED: Final = 365 * 86400
"""Seconds for which a browser keeps the language that was chosen in it."""


def face_settings(face: str, secret_key: str, hosts: Sequence[str]) -> dict[str, Any]:
    """The settings both faces share.

    `face` (`appliance`, `site`) tells their cookies apart: browsers keep one jar for all ports of a host.
    `hosts` are the names and addresses under which the face may be asked, without ports.
    """
    return {
        "DEBUG": False,
        "SECRET_KEY": secret_key,
        "ALLOWED_HOSTS": list(dict.fromkeys(hosts)),
        "MIDDLEWARE": list(MIDDLEWARE),
        "TEMPLATES": [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.template.context_processors.i18n",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                        "staffetta.ui.context.face",
                    ]
                },
            }
        ],
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        # The door ends TLS and says so; it never passes these headers on from outside.
        "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
        "USE_X_FORWARDED_HOST": True,
        "SECURE_CONTENT_TYPE_NOSNIFF": True,
        "SECURE_REFERRER_POLICY": "same-origin",
        "SECURE_CROSS_ORIGIN_OPENER_POLICY": "same-origin",
        "X_FRAME_OPTIONS": "DENY",
        # `__Host-`: browsers take these cookies only over TLS, from this host, for the whole host.
        "SESSION_COOKIE_NAME": f"__Host-staffetta-{face}",
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_EXPIRE_AT_BROWSER_CLOSE": True,
        "CSRF_COOKIE_NAME": f"__Host-staffetta-{face}-form",
        "CSRF_COOKIE_SECURE": True,
        "CSRF_COOKIE_HTTPONLY": True,
        "CSRF_COOKIE_SAMESITE": "Strict",
        "CSRF_FAILURE_VIEW": "staffetta.ui.errors.form_too_old",
        "MESSAGE_STORAGE": "django.contrib.messages.storage.session.SessionStorage",
        "AUTHENTICATION_BACKENDS": [
            "axes.backends.AxesStandaloneBackend",
            "django.contrib.auth.backends.ModelBackend",
        ],
        "PASSWORD_HASHERS": [
            "django.contrib.auth.hashers.ScryptPasswordHasher",
            "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        ],
        "AUTH_PASSWORD_VALIDATORS": [
            {
                "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
                "OPTIONS": {"min_length": PASSWORD_LENGTH},
            },
            {"NAME": "staffetta.ui.signin.validators.NotTheOldPassword"},
            {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
            {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
            {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
        ],
        "AXES_FAILURE_LIMIT": FAILURE_LIMIT,
        "AXES_COOLOFF_TIME": COOL_OFF,
        "AXES_LOCKOUT_PARAMETERS": [["username", "ip_address"]],
        "AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT": False,
        "AXES_USERNAME_FORM_FIELD": "username",
        "AXES_DISABLE_ACCESS_LOG": True,  # a face writes its own audit log
        "AXES_ENABLE_ADMIN": False,
        # The sign-in view shows the lock itself, with the time it ends; the middleware would overwrite that page.
        "SILENCED_SYSTEM_CHECKS": ["axes.W002", "axes.W006"],
        "USE_I18N": True,
        "LANGUAGE_CODE": "en",
        "LANGUAGES": [("en", "English"), ("it", "Italiano")],
        "LOCALE_PATHS": [str(_LOCALE)],  # before the catalogues of Django's own apps, which say some things otherwise
        "LANGUAGE_COOKIE_NAME": f"__Host-staffetta-{face}-language",
        "LANGUAGE_COOKIE_AGE": LANGUAGE_REMEMBERED,
        "LANGUAGE_COOKIE_SECURE": True,
        "LANGUAGE_COOKIE_HTTPONLY": True,
        "LANGUAGE_COOKIE_SAMESITE": "Lax",
        "USE_TZ": True,
        "LOGGING_CONFIG": None,  # `kernel.log` sets the process's log up
    }


def sqlite(path: Path) -> dict[str, Any]:
    """An embedded database: durable when a write is answered, readers beside one writer, writers wait in line."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
        },
    }
