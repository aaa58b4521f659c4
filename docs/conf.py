"""How `make docs` turns these pages into a site; it needs nothing from elsewhere when it is built or read."""

from typing import Any

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "Staffetta"
author = "the authors of Staffetta"
extensions = ["myst_parser"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = "Staffetta"
html_logo = html_favicon = "../src/staffetta/ui/static/ui/mark.svg"
html_copy_source = False
html_static_path = ["look.css"]
html_css_files = ["look.css"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Show a diagram's source where no program draws it."""
    app.add_lexer("mermaid", TextLexer)
    return {"parallel_read_safe": True}
