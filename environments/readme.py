"""A contributor's readme as HTML that cannot do harm: markdown, highlighted, then sanitised."""

import functools
import re
from collections.abc import Sequence
from typing import Final

import nh3
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

LIMIT: Final = 200_000  # characters of a readme that are shown
CODE_LIMIT: Final = 20_000  # characters of a code block that are highlighted
PREFIX: Final = "readme-"  # of every id, so that none collides with the page's own

_TAGS: Final = frozenset(
    "a abbr b blockquote br code dd del details div dl dt em h2 h3 h4 h5 h6 hr i ins kbd li ol p "
    "pre q s samp small span strong sub summary sup table tbody td tfoot th thead tr ul var".split()
)
_HEADINGS: Final = frozenset({"h2", "h3", "h4", "h5", "h6"})
_ATTRIBUTES: Final[dict[str, set[str]]] = {
    "a": {"href", "title"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
} | {heading: {"id"} for heading in _HEADINGS}
_CLASSES: Final[dict[str, set[str]]] = {
    "pre": {"hl"},
    "span": {name for name in STANDARD_TYPES.values() if name},
}
_SCHEMES: Final = frozenset({"http", "https", "mailto"})


@functools.lru_cache(maxsize=64)
def render(text: str, kind: str = "text/markdown") -> SafeString:
    """Sanitised HTML of a readme; longer ones are cut at `LIMIT` characters.

    Headings begin at h2 and have ids. Links are nofollow and go to other sites or to a heading;
    images become links, because pages load nothing from elsewhere. What is not markdown is shown
    as it was written.
    """
    if kind != "text/markdown":
        return format_html("<pre>{}</pre>", text[:LIMIT]) if text else mark_safe("")
    parser = _parser()
    tokens = parser.parse(text[:LIMIT])
    _name_headings(tokens)
    for token in tokens:
        if token.children:
            token.children = _without_images(token.children)
    html = parser.renderer.render(tokens, parser.options, {})
    return mark_safe(_clean(html))  # noqa: S308 - this is what sanitising is for


@functools.cache
def _parser() -> MarkdownIt:
    options = {"html": True, "linkify": False, "highlight": _highlighted}
    return MarkdownIt("commonmark", options).enable(["table", "strikethrough"])


def _highlighted(code: str, language: str, _: str) -> str:
    """Highlighted HTML, or an empty string to have the code shown plainly."""
    if len(code) > CODE_LIMIT:
        return ""
    try:
        lexer = get_lexer_by_name(language or "text")
    except ClassNotFound:
        return ""
    inner = highlight(code, lexer, HtmlFormatter(nowrap=True))
    return f'<pre class="hl"><code>{inner}</code></pre>\n'


def _name_headings(tokens: Sequence[Token]) -> None:
    """Give headings ids after their text, and move them down a level: the page has its own h1."""
    taken: dict[str, int] = {}
    for position, token in enumerate(tokens):
        if token.type not in ("heading_open", "heading_close"):
            continue
        token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
        if token.type == "heading_open":
            slug = re.sub(r"[^\w]+", "-", tokens[position + 1].content.lower()).strip("-")
            taken[slug] = taken.get(slug, 0) + 1
            token.attrSet("id", slug if taken[slug] == 1 else f"{slug}-{taken[slug]}")


def _without_images(children: Sequence[Token]) -> list[Token]:
    """External images as links with their text, relative ones dropped: only the text stays."""
    kept: list[Token] = []
    in_link = False
    for token in children:
        in_link = token.type == "link_open" or (in_link and token.type != "link_close")
        if token.type != "image":
            kept.append(token)
        elif not str(token.attrs.get("src", "")).startswith(("http://", "https://")):
            kept.append(Token("text", "", 0, content=token.content))
        elif in_link:
            kept.append(Token("text", "", 0, content=token.content or "image"))
        else:
            kept += _link(str(token.attrs["src"]), f"image: {token.content or 'untitled'}")
    return kept


def _link(address: str, text: str) -> list[Token]:
    return [
        Token("link_open", "a", 1, attrs={"href": address}),
        Token("text", "", 0, content=text),
        Token("link_close", "a", -1),
    ]


def _clean(html: str) -> str:
    return nh3.clean(
        html,
        tags=set(_TAGS),
        clean_content_tags={"script", "style", "iframe", "object", "svg", "math", "template"},
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        allowed_classes=_CLASSES,
        url_schemes=set(_SCHEMES),
        link_rel="nofollow ugc noopener",
        id_prefix=PREFIX,
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Links stay if they lead to another site or to a heading of this readme."""
    if (tag, name) != ("a", "href"):
        return value
    if value.startswith("#"):
        return f"#{PREFIX}{value[1:]}"
    return value if value.lower().startswith(("http://", "https://", "mailto:")) else None
