"""What an administrator looks after on the site: the file store and the audit log."""
