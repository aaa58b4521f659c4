"""Tests of the pages at /appliance."""
