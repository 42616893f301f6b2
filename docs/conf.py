"""The documentation site. `make docs` builds it from the Markdown files of the repository into build/docs/html.

Sphinx reads from the root of the repository, so a link between two files is the same on the site and in the repository.
"""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "sluicegate"
author = "The sluicegate developers"
version = release = version_of("sluicegate")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_argparse_cli", "contents", "docstrings"]
root_doc = "docs/index"
include_patterns = ["docs/**", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
exclude_patterns = [".*", "build", "dist", "runs", "src", "tests", "csrc", "results", "benchmarks", "docs/_*"]

# Markdown: headings can be linked to as on GitHub, and tutorials (those with a kernel in their head) are run.
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_merge_streams = True

# Docstrings: `name` in single quotes is a link where it can be one.
default_role = "py:obj"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
napoleon_custom_sections = [("Attributes", "params_style")]  # the usual kind makes links of the names
napoleon_use_rtype = False
python_maximum_signature_line_length = 100

highlight_language = "none"
html_theme = "furo"
html_title = "sluicegate"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_additional_pages = {"index": "home.html"}  # the site's address leads to docs/index.html
templates_path = ["_templates"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
