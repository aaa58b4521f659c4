"""Sessions: opening them, the relay, what is recorded of them and what reports tell."""
