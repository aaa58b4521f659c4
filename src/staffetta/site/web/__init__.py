"""The site's pages as one Django project: settings, addresses, the ASGI application."""
