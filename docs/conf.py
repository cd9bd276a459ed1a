"""The site: `make docs` builds it, strictly and without a network."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_extensions")]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])  # workers of the tutorials

from palora_core import __version__  # noqa: E402

project = "PaLoRA Studio"
copyright = "the authors of PaLoRA Studio; MIT"
author = "the authors of PaLoRA Studio"
version = release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "tutorial_links",
    "reference_pages",
    "error_pages",
]
exclude_patterns = ["_build", "_extensions", "tutorials", "**/GALLERY_HEADER.rst", "results/expansion"]
suppress_warnings = ["config.cache"]  # sphinx-gallery's configuration holds functions

html_theme = "furo"
html_title = "PaLoRA Studio"
html_show_sourcelink = False
html_theme_options = {"source_repository": "", "navigation_with_keys": True}

myst_enable_extensions = ["deflist", "attrs_inline"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_google_docstring = True
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "literal"  # our docstrings say `name` for code

sphinx_gallery_conf = {
    "examples_dirs": ["tutorials"],
    "gallery_dirs": ["auto_tutorials"],
    "filename_pattern": r"/\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 1,
    "remove_config_comments": True,
    "abort_on_example_error": False,
    "plot_gallery": os.environ.get("PALORA_TUTORIALS", "1") == "1",
}
