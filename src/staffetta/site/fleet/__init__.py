"""Jump Clients: how they enrol, who they are, whether they are online, and how they are revoked."""
