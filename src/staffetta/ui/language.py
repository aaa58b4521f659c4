"""The language of the pages: the browser's, or the one that the reader has chosen, which a cookie remembers.

The choice belongs to the browser, not to the account, so that the sign-in page speaks it too; each face has a cookie of
its own, like its others.
"""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST
from django.views.i18n import set_language

from staffetta.ui.signin.access import before_password_change, public


@before_password_change
@public
@require_POST
def choose_language(request: HttpRequest) -> HttpResponse:
    """Remember the chosen language; go to the page `next`, or back to where it was pressed, if it is of this face.

    Else to the first.
    """
    answer: HttpResponse = set_language(request)
    return answer
