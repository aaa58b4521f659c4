"""Addresses of the reports."""

from django.urls import path

from staffetta.site.support import views

app_name = "support"

urlpatterns = [
    path("reports/sessions", views.sessions, name="sessions"),
    path("reports/sessions.json", views.sessions_json, name="sessions-json"),
    path("reports/sessions.csv", views.sessions_csv, name="sessions-csv"),
    path("reports/sessions/<slug:session_id>", views.session, name="session"),
    path("reports/sessions/<slug:session_id>.json", views.session_json, name="session-json"),
    path("reports/sessions/<slug:session_id>/recording.cast", views.recording, name="recording"),
]
