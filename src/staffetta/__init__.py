"""Staffetta: a self-hosted remote-support appliance that hands over the baton when it upgrades."""
