"""Addresses of the console in the browser."""

from django.urls import path

from staffetta.site.console import views

app_name = "console"

urlpatterns = [
    path("console", views.computers, name="computers"),
    path("console/credential.json", views.credential, name="credential"),
    path("console/begin/<slug:client_id>/<slug:kind>", views.begin, name="begin"),
    path("console/sessions/<slug:session_id>", views.session, name="session"),
]
