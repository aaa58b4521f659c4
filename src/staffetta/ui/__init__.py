"""The common look of both web faces: templates, styles, static files, translations, and how people sign in."""
