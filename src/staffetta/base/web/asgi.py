"""The application that base's web process serves on its unix socket."""

import logging
import os
from typing import cast

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "staffetta.base.web.settings")

# Every request to base's service is in base's audit log already.
logging.getLogger("httpx").setLevel(logging.WARNING)

_django = get_asgi_application()

from staffetta.base.web.bodies import Application, MeteredBodies  # noqa: E402 - needs Django's registry

application = MeteredBodies(cast("Application", _django))
