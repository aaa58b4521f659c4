"""Technicians' accounts: who may sign in to the site, in pages and console, and what each may do."""
