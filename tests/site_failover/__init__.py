"""Tests of the failover room: relationship, roles, data-sync, pair jobs."""
