"""Addresses of sign-in, sign-out and change of password; a face includes them under its own prefix."""

from django.urls import path

from staffetta.ui.signin import views

app_name = "signin"

urlpatterns = [
    path("sign-in", views.sign_in, name="sign-in"),
    path("sign-out", views.sign_out, name="sign-out"),
    path("change-password", views.change_password, name="change-password"),
]
