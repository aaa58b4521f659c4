"""Migrations of `/appliance`: they only add."""
