"""Settings of the documentation: `make docs` builds it into `docs/_build/html`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
sys.path.insert(0, str(HERE.parent))

import type_names

import cellflow as cf

project = "cellflow"
author = "The cellflow developers"
copyright = author
version = release = cf.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    # In `_ext`:
    "api_pages",
    "citations",
    "code_links",
    "command_help",
    "docstrings",
    "gallery_page",
    "mathml",
    "notebooks",
    "type_names",
    "written_keys",
]
exclude_patterns = ["_build", "_ext", "**/.ipynb_checkpoints", "Thumbs.db"]
nitpicky = True
# Types in signatures are checked by mypy; those of other packages have no page here.
nitpick_ignore_regex = [("py:class", ".*")]
#: Packages whose pages are linked where a build may use the network, and which are text otherwise.
_OTHERS = {
    "python": "https://docs.python.org/3",
    "numpy": "https://numpy.org/doc/stable",
    "pandas": "https://pandas.pydata.org/docs",
    "scipy": "https://docs.scipy.org/doc/scipy",
    "matplotlib": "https://matplotlib.org/stable",
    "anndata": "https://anndata.readthedocs.io/en/stable",
    "torch": "https://docs.pytorch.org/docs/stable",
}
if os.environ.get("READTHEDOCS") or os.environ.get("DOCS_ONLINE"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {name: (url, None) for name, url in _OTHERS.items()}

# Docstrings: numpydoc sections; types come from the signatures, which are their only place.
napoleon_google_docstring = False
napoleon_use_rtype = False
# The results of a call are described in prose and lists, not as a table of types.
napoleon_custom_sections = ["Returns"]
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_type_aliases = {name: name for name in type_names.ALIASES}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
default_role = "literal"

# Pages and tutorials are markdown; tutorials are shown as they were executed.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"cellflow {release}"
html_static_path = ["_static"]
html_favicon = "_static/icon.svg"
html_css_files = ["style.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
