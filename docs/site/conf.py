# SPDX-License-Identifier: BSD-3-Clause
"""Sphinx configuration: the pages are the repository's own Markdown files, where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

import insitu

ROOT = Path(__file__).resolve().parents[2]

project = "insitu"
author = "the insitu developers"
release = version = insitu.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
# The source folder is the repository, so that the links between its pages work here as on a code host.
root_doc = "docs/site/index"
include_patterns = [
    "docs/site/*",
    "docs/*.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "insitu/models/artifacts/*/README.md",
    "integrations/*/README.md",
    "lammps_inputs/README.md",
    "slurm/README.md",
]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]
suppress_warnings = [
    "myst.header",
    "misc.highlighting_failure",
]  # cards begin at their own level; decks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {"ArrayLike": "numpy.typing.ArrayLike"}
napoleon_google_docstring = False
nitpicky = False

html_theme = "furo"
html_title = "insitu"
html_static_path: list[str] = []
templates_path = ["templates"]
html_additional_pages = {"index": "start.html"}


def _folders_are_no_pages(app: Sphinx, doctree: nodes.document) -> None:
    """Show a link to a folder of the repository as its text: there is no page for it."""
    here = (ROOT / app.env.docname).parent
    for link in list(doctree.findall(pending_xref)):
        if link.get("reftype") == "myst" and (here / link["reftarget"].split("#")[0]).is_dir():
            link.replace_self(link.children)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect what the pages' links need."""
    app.connect("doctree-read", _folders_are_no_pages)
    return {"parallel_read_safe": True}
