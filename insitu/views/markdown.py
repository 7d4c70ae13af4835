# SPDX-License-Identifier: BSD-3-Clause
"""Markdown of model cards as HTML (the one home of markdown-it)."""

from __future__ import annotations

from insitu.errors import InsituError

try:
    from markdown_it import MarkdownIt
except ImportError as error:
    raise InsituError(
        "markdown-it-py is not installed and reports need it; install it with pip install "
        "'insitu[plot]'."
    ) from error


def to_html(text: str, level: int = 1) -> str:
    """Return Markdown (CommonMark and tables) as HTML; HTML inside of it is shown, not run.

    Parameters
    ----------
    text
        Markdown.
    level
        Heading that ``#`` becomes.
    """
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, level - 1 + int(token.tag[1]))}"
        for part in token.children or ():
            if part.type == "image":  # a page loads nothing from elsewhere
                part.type, part.tag, part.nesting = "text", "", 0
    html: str = reader.renderer.render(tokens, reader.options, {})
    # A table wider than the page scrolls.
    return html.replace("<table>", '<div class="wide"><table>').replace(
        "</table>", "</table></div>"
    )
