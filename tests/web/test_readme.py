"""Readmes come from strangers."""

from html.parser import HTMLParser

import pytest

from environments.readme import LIMIT, PREFIX, render


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<style>body{display:none}</style>",
        "<iframe src=https://evil.example></iframe>",
        "<svg><script>alert(1)</script></svg>",
        "<p style='position:fixed' onclick=alert(1)>x</p>",
        "[x](javascript:alert(1))",
        "<a href='java\nscript:alert(1)'>x</a>",
        "<a href='//evil.example'>x</a>",
        "[x](data:text/html,<script>alert(1)</script>)",
        "<form action=/accounts/logout/ method=post><button>x</button></form>",
        "<math><mtext><style><img src=x onerror=alert(1)></style></mtext></math>",
        "```html\n<script>alert(1)</script>\n```",
        "<input autofocus onfocus=alert(1)>",
        "<base href=https://evil.example>",
        "<meta http-equiv=refresh content=0>",
    ],
)
def test_nothing_harmful_is_left(text: str) -> None:
    seen = Seen()
    seen.feed(render(text))
    assert seen.tags <= {"a", "p", "pre", "code", "span", "h2"}
    assert seen.attributes <= {"href", "rel", "class"}
    assert all(link.startswith(("https://", "#")) for link in seen.links)


class Seen(HTMLParser):
    """The tags, attributes and addresses in a piece of HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]


def test_headings_move_down_and_links_to_them_work() -> None:
    html = render("# Use it\n\n## Use it\n\n[there](#use-it)")
    assert f'<h2 id="{PREFIX}use-it">' in html
    assert f'<h3 id="{PREFIX}use-it-2">' in html
    assert f'href="#{PREFIX}use-it"' in html


def test_ids_and_classes_cannot_imitate_the_page() -> None:
    html = render('<h2 id="content" class="banner">x</h2>')
    assert f'id="{PREFIX}content"' in html
    assert "banner" not in html


def test_images_become_links_and_relative_ones_text() -> None:
    html = render("![chart](https://pics.example/a.png) ![logo](logo.png)")
    assert (
        '<a href="https://pics.example/a.png" rel="nofollow ugc noopener">image: chart</a>' in html
    )
    assert "logo" in html
    assert "logo.png" not in html


def test_an_image_in_a_link_stays_one_link() -> None:
    html = render("[![build](https://ci.example/b.svg)](https://ci.example)")
    assert html.count("<a ") == 1
    assert ">build</a>" in html


def test_code_is_highlighted_and_unknown_languages_are_plain() -> None:
    assert '<span class="k">def</span>' in render("```python\ndef f(): ...\n```")
    assert "&lt;x&gt;" in render("```no-such-language\n<x>\n```")


def test_tables_and_links_survive() -> None:
    html = render("| a |\n|---|\n| [b](https://b.example) |")
    assert "<td><a" in html
    assert 'rel="nofollow ugc noopener"' in html


def test_a_very_long_readme_is_cut() -> None:
    assert len(render("word " * LIMIT)) < LIMIT + 100
