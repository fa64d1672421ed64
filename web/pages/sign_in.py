"""Signing in: by password (allauth's view, in our look) and by a one-time link."""

from __future__ import annotations

from allauth.account.views import LoginView, LogoutView
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.services import use_sign_in_link, user_of_sign_in_link
from core.errors import Unauthenticated


class SignIn(LoginView):
    template_name = "account/login.html"


class SignOut(LogoutView):
    """POST only: a GET asks for confirmation and changes nothing."""

    template_name = "account/logout.html"


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_link(request: HttpRequest, secret: str) -> HttpResponse:
    """GET shows a button, so that a mail scanner that follows the link does not use it up; POST signs in."""
    if request.method != "POST":
        return render(request, "account/sign_in_link.html", {"person": user_of_sign_in_link(secret)})
    try:
        user = use_sign_in_link(secret)
    except Unauthenticated:
        return render(request, "account/sign_in_link.html", {"person": None}, status=403)
    login(request, user)
    return redirect("reviews")
