"""Tests of the site's gateway: real gateways on a real port, the real database, ends that speak the real protocol."""
