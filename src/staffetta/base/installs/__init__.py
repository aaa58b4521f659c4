"""Installs: durable jobs that bring a new release of base or site live, or undo themselves."""
