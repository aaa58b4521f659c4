"""What base does for a pair: the shared address, the grants of administrators, and installs for the site's pair job."""
