"""The documentation as a site: `make docs` builds it, without network, and a warning is an error.

The site's source is the repository as it stands, so that a link means the same here and where the
files are read as they are. Which pages there are is said once, by the lists of docs/index.md.
"""

from __future__ import annotations

from keyturn import __version__
from tools.site import edit_links

project = "keyturn"
author = "The keyturn maintainers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click", "sphinx_copybutton", "tools.site"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "examples/README.md"]
exclude_patterns = [".*", "build", "benchmarks", "infra", "rotation_listener", "src", "tests", "tools"]

# Whatever stands in single backticks in a docstring is a link where there is something of that name.
default_role = "py:obj"
# Without network nothing is known of other packages: what must resolve are keyturn's own names.
nitpick_ignore_regex = [
    ("py:obj", ".*"),
    ("py:.*", r"(?!keyturn\.).*"),
    ("py:.*", r".*\._\w+"),
    # Types that callers neither make nor name.
    ("py:class", r"keyturn\..*\.(Arn|Concealed|Connection|Driver|Issuer|Parallel)"),
]
highlight_language = "text"
myst_heading_anchors = 4

# Large, and not needed to read the signatures.
autodoc_mock_imports = ["aws_cdk", "constructs"]
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": True}
autodoc_typehints_format = "short"
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"keyturn {__version__}"
html_theme_options = edit_links()
html_logo = html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_site"]
html_copy_source = False
html_show_copyright = False
html_show_sourcelink = False
