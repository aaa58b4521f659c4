"""Backups of the site: what goes into one, how it is written, checked and put back."""
