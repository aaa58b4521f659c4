"""Addresses of the pages of the pair: Management > Security and Management > Failover."""

from django.urls import path

from staffetta.site.failover import views

app_name = "failover"

urlpatterns = [
    path("management/security", views.security, name="security"),
    path("management/security/generate", views.generate_key, name="generate-key"),
    path("management/failover", views.pair, name="pair"),
    path("management/failover/establish", views.establish, name="establish"),
    path("management/failover/sync", views.sync_now, name="sync-now"),
    path("management/failover/become-primary", views.become_primary, name="become-primary"),
    path("management/failover/break", views.break_relationship, name="break"),
    path("management/failover/upgrade", views.upgrade, name="upgrade"),
    path("management/failover/upgrade/check", views.check_updates, name="check-updates"),
    path("management/failover/jobs/<slug:job_id>", views.job, name="job"),
    path("management/failover/jobs/<slug:job_id>/<slug:verb>", views.steer, name="steer"),
]
