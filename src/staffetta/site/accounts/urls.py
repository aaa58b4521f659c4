"""Addresses of the pages of accounts."""

from django.urls import path

from staffetta.site.accounts import views

app_name = "accounts"

urlpatterns = [
    path("my-account", views.mine, name="mine"),
    path("my-account/sign-out-elsewhere", views.sign_out_elsewhere, name="sign-out-elsewhere"),
    path("users", views.users, name="users"),
    path("users/new", views.new_user, name="new-user"),
    path("users/<slug:account_id>", views.user, name="user"),
    path("users/<slug:account_id>/disable", views.disable, name="disable"),
    path("users/<slug:account_id>/enable", views.enable, name="enable"),
    path("users/<slug:account_id>/reset-password", views.reset_password, name="reset-password"),
]
