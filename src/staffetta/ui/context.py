"""The context processor of the common templates: product, face, version, navigation."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from staffetta.ui.face import PRODUCT, Face, navigation_for


def face(request: HttpRequest) -> dict[str, Any]:
    """`product`, `face` (settings.STAFFETTA_FACE) and `navigation`, which asks for permissions only when shown."""
    own: Face = settings.STAFFETTA_FACE
    return {
        "product": PRODUCT,
        "face": own,
        "navigation": SimpleLazyObject(lambda: navigation_for(own, request)),
    }
