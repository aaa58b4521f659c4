"""What every other app of the site stands on: sync kinds, records, blobs, secrets and the site's identity."""
