"""Every address of the site, read from its URLconf, and one example of each."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.contrib.admindocs.views import simplify_regex
from django.urls import URLPattern, URLResolver, get_resolver


@dataclass(frozen=True)
class Address:
    """One pattern of the URLconf, such as `/<owner>/<name>/`."""

    pattern: str
    name: str
    view: object = field(repr=False, compare=False)

    @property
    def is_api(self) -> bool:
        return self.pattern.startswith("/api/")

    @property
    def write(self) -> str:
        """The method that changes something here, or would if any did."""
        view = getattr(self.view, "cls", None)
        return "DELETE" if hasattr(view, "delete") and not hasattr(view, "post") else "POST"

    def filled(self, values: dict[str, object]) -> str:
        """A path of this pattern. Raises KeyError for a parameter that `values` lacks."""
        path = self.pattern
        while "<" in path:
            before, _, rest = path.partition("<")
            name, _, after = rest.partition(">")
            path = f"{before}{values[name]}{after}"
        return path


def addresses() -> list[Address]:
    """All of them, in the order in which they are tried."""
    return list(_walk(get_resolver().url_patterns, "", ""))


def _walk(
    patterns: list[URLPattern | URLResolver], prefix: str, namespace: str
) -> Iterator[Address]:
    for one in patterns:
        regex = prefix + one.pattern.regex.pattern.lstrip("^").replace("\\Z", "").replace("$", "")
        if isinstance(one, URLResolver):
            inside = f"{namespace}{one.namespace}:" if one.namespace else namespace
            yield from _walk(one.url_patterns, regex, inside)
        else:
            pattern = simplify_regex(regex).replace("\\", "")
            yield Address(pattern, f"{namespace}{one.name or ''}", one.callback)
