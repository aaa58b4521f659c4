"""Pages of management: the file store and the audit log."""

from typing import Final, cast

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_POST, require_safe

from staffetta.kernel.errors import StaffettaError
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data import sending
from staffetta.site.management import audit_log, files
from staffetta.site.management.errors import BadUpload
from staffetta.site.management.uploads import BlobUploadHandler, UploadedBlob
from staffetta.ui.signin.access import needs

PAGE: Final = 100


@needs(Allowed.MANAGE_FILES.full)
@require_safe
def file_store(request: HttpRequest) -> HttpResponse:
    """The files kept on the site, with their sizes."""
    return _store_page(request)


@csrf_exempt  # checked by _take_upload, once the handler that streams is in place
@needs(Allowed.MANAGE_FILES.full)
@require_POST
def upload(request: HttpRequest) -> HttpResponseBase:
    """Store one file, streamed while it arrives. Who may not store is refused before the body is read."""
    handler = BlobUploadHandler(request)
    request.upload_handlers = [handler]
    try:
        return _take_upload(request)
    except StaffettaError as error:
        return _store_page(request, error.message, error.http_status)
    finally:
        handler.drop()


@csrf_protect
def _take_upload(request: HttpRequest) -> HttpResponse:
    uploaded = request.FILES.get("file")
    if not isinstance(uploaded, UploadedBlob):
        raise BadUpload(_("Choose a file first."))
    stored, replaced = files.store(_name(request), uploaded.name or "", uploaded.writer)
    done = _("%(name)s is replaced.") if replaced else _("%(name)s is stored.")
    messages.success(request, done % {"name": stored.name})
    onward = reverse("management:file-store")
    if request.headers.get("HX-Request") == "true":
        # A script that followed a redirect would take the message away from the page it leads to.
        return HttpResponse(status=204, headers={"HX-Redirect": onward})
    return HttpResponseRedirect(onward)


def _store_page(request: HttpRequest, problem: str = "", status: int = 200) -> HttpResponse:
    context = {"files": files.list_files(), "totals": files.totals(), "problem": problem}
    return render(request, "management/file_store.html", context, status=status)


@needs(Allowed.MANAGE_FILES.full)
@require_safe
def download(request: HttpRequest, file_id: str) -> HttpResponseBase:
    """The file's bytes, for saving."""
    stored, path = files.find(file_id)
    return sending.stored_file(path, stored.name)


@needs(Allowed.MANAGE_FILES.full)
@require_POST
def delete(request: HttpRequest, file_id: str) -> HttpResponse:
    """Remove a file."""
    name = files.delete(_name(request), file_id)
    messages.success(request, _("%(name)s is deleted.") % {"name": name})
    return HttpResponseRedirect(reverse("management:file-store"))


@needs(Allowed.VIEW_AUDIT_LOG.full)
@require_safe
def audit(request: HttpRequest) -> HttpResponse:
    """Who did what, newest first."""
    search = request.GET.get("search", "")[:200]
    page = Paginator(range(audit_log.count(search)), PAGE).get_page(request.GET.get("page"))
    entries = audit_log.entries(search, offset=max(0, page.start_index() - 1), limit=PAGE)
    return render(request, "management/audit_log.html", {"entries": entries, "page": page, "search": search})


def _name(request: HttpRequest) -> str:
    return cast("Account", request.user).username
