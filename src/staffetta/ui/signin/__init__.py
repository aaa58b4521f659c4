"""How a person signs in to a web face, and what may be reached before and after: accounts, sessions, access.

Each face brings its own concrete tables; this room brings the rest:

- `accounts.Account` (abstract user), `accounts.seed_admin`
- `sessions.HashedSession` (abstract row), `sessions.HashedSessionStore` (the engine over it)
- `access.public`, `access.signed_in`, `access.needs`, `access.views_without_access`
- `throttle.authenticate` (password check with a limit on failures, for pages and for other doors alike)
- `middleware.MustChangePassword`, `urls` (sign in, sign out, change the password), `signals.password_changed`
"""
