"""Certificates: the first self-signed ones, and their replacement by the administrator's own."""
