"""The site's worker: jobs that run in exactly one generation, the active one."""
