"""What every role shares: reach the site, be sure that it is the site, hold a place there, move and resume."""
