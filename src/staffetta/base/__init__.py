"""The layer an administrator meets at /appliance: updates, installs, certificates, status; a program of its own."""
