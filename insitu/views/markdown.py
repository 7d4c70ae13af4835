# SPDX-License-Identifier: BSD-3-Clause
"""Markdown as model cards use it, as HTML: headings, paragraphs, lists, tables, code, links."""

from __future__ import annotations

import html
import re

_TABLE_RULE = re.compile(r"\|?[\s:|-]+\|[\s:|-]*")


def to_html(text: str, level: int = 1) -> str:
    """Return Markdown as HTML.

    Parameters
    ----------
    text
        Markdown. What is not known here stays as it is written.
    level
        Heading that ``#`` becomes.
    """
    blocks = re.split(r"\n\s*\n", text.strip())
    return "\n".join(_block(block.splitlines(), level) for block in blocks if block.strip())


def _block(lines: list[str], level: int) -> str:
    first = lines[0]
    if heading := re.match(r"(#+)\s+(.*)", first):
        depth = min(6, level - 1 + len(heading[1]))
        rest = f"\n{_block(lines[1:], level)}" if lines[1:] else ""
        return f"<h{depth}>{_inline(heading[2])}</h{depth}>{rest}"
    if first.startswith("```"):
        return (
            f"<pre>{html.escape(chr(10).join(line for line in lines if line[:3] != '```'))}</pre>"
        )
    if (
        len(lines) > 1
        and first.lstrip().startswith("|")
        and _TABLE_RULE.fullmatch(lines[1].strip())
    ):
        head = _row(first, "th")
        body = "".join(_row(line, "td") for line in lines[2:])
        return f'<div class="wide"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'
    if re.match(r"[-*]\s+", first):
        items = re.split(r"\n[-*]\s+", "\n" + "\n".join(lines))[1:]
        return "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>"
    return f"<p>{_inline(' '.join(lines))}</p>"


def _row(line: str, tag: str) -> str:
    cells = line.strip().strip("|").split("|")
    return "<tr>" + "".join(f"<{tag}>{_inline(c.strip())}</{tag}>" for c in cells) + "</tr>"


def _inline(text: str) -> str:
    text = html.escape(text, quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", text)
    return re.sub(r"\[([^\]]+)\]\((https?://[^)\s]+)\)", r'<a href="\2">\1</a>', text)
