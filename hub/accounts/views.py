"""Pages of one's own account that allauth does not have."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from hub.accounts import services
from hub.accounts.forms import TokenForm
from hub.accounts.models import ApiToken


@never_cache
@login_required
@require_http_methods(["GET", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    """Your tokens; making one shows its text in the answer, and never again."""
    assert request.user.is_authenticated
    form = TokenForm(request.POST or None, user=request.user)
    text = None
    if request.method == "POST" and form.is_valid():
        _, text = services.create_token(user=request.user, actor=request.user, **form.cleaned_data)
        form = TokenForm(user=request.user)
    context = {
        "form": form,
        "text": text,
        "tokens": ApiToken.objects.filter(user=request.user),
    }
    return render(request, "accounts/tokens.html", context)


@login_required
@require_POST
def revoke_token(request: HttpRequest, key: str) -> HttpResponse:
    """Revoke one of your tokens."""
    assert request.user.is_authenticated
    mine = ApiToken.objects.filter(user=request.user)
    token = get_object_or_404(mine, digest__startswith=key)
    services.revoke_token(token=token, actor=request.user)
    messages.success(request, f"The token “{token.name}” is revoked.")
    return redirect("account-tokens")
