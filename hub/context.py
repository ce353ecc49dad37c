"""What every page's template may use."""

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, object]:
    # Lazy: a page that names it has it in its policy. The tag that loads htmx does.
    return {"site_name": settings.SITE_NAME, "csp_nonce": request.csp_nonce}  # type: ignore[attr-defined]
