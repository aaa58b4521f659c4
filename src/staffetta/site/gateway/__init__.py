"""The site's gateway: Jump Clients and consoles online, the relay of their sessions, and the door before the pages."""
