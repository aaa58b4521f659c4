"""Addresses of the pages of the fleet."""

from django.urls import path

from staffetta.site.fleet import views

app_name = "fleet"

urlpatterns = [
    path("jump-clients", views.clients, name="clients"),
    path("jump-clients.json", views.clients_json, name="clients-json"),
    path("jump-clients.csv", views.clients_csv, name="clients-csv"),
    path("jump-clients/progress", views.progress, name="progress"),
    path("jump-clients/upgrades", views.upgrades, name="upgrades"),
    path("jump-clients/installers", views.tokens, name="tokens"),
    path("jump-clients/root.json", views.trust_root, name="trust-root"),
    path("jump-clients/installers/<slug:token_id>/revoke", views.revoke_token, name="revoke-token"),
    path("jump-clients/<slug:client_id>/revoke", views.revoke_client, name="revoke-client"),
    path("jump-clients/<slug:client_id>/mode", views.change_mode, name="change-mode"),
    path("jump-clients/<slug:client_id>/delete", views.delete_client, name="delete-client"),
]
