"""Tests of the common look and of signing in."""
