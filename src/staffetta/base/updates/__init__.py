"""Updates: what the update server or an uploaded bundle offers, and what may be installed of it."""
