"""What happened at sign-in that other rooms may want to write down (Django's own signals tell the rest)."""

from django.dispatch import Signal

password_changed = Signal()
"""Sent with `sender` (the account's class), `request` and `account` after a person has set a new password.

What a receiver does is part of the same transaction: if it raises, the password is the old one.
"""
