"""How tasks are shown, one file per kind: ``<kind>.py`` here and, where a browser must know more, ``<kind>.js``."""

from app.kinds.base import View, view_of, views

__all__ = ["View", "view_of", "views"]
