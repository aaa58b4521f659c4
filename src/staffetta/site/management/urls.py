"""Addresses of the pages of management."""

from django.urls import path

from staffetta.site.management import views

app_name = "management"

urlpatterns = [
    path("files", views.file_store, name="file-store"),
    path("files/upload", views.upload, name="upload"),
    path("files/<slug:file_id>/download", views.download, name="download"),
    path("files/<slug:file_id>/delete", views.delete, name="delete-file"),
    path("audit-log", views.audit, name="audit-log"),
]
