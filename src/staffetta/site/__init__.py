"""The remote-support product: gateway, web and worker of one release."""
