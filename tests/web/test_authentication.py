"""The ways in: bearer, basic, session, sign-in link; and what each lets in."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client
from pytest_django import Settings

from accounts import services
from accounts.models import SignInLink, User
from tests.cast import token_of
from tests.factories import make_model
from web.authentication import FAILURES_ALLOWED

PASSWORD = "correct horse battery staple"
SEARCH = "/api/2.0/mlflow/registered-models/search"


def basic(username: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture
def mira_with_password(mira: User) -> User:
    mira.set_password(PASSWORD)
    mira.save(update_fields=["password"])
    return mira


def me(headers: dict[str, str]) -> tuple[int, str]:
    answer = Client(headers=headers).get("/api/v1/me/")
    return answer.status_code, answer.json().get("username", "")


# -- Headers -----------------------------------------------------------------------------------------------------------


def test_a_token_comes_as_bearer_or_as_a_basic_password(mira: User) -> None:
    _, secret = token_of(mira)

    assert me(bearer(secret)) == (200, "mira")
    assert me(basic("mira", secret)) == (200, "mira")
    assert me(basic("token", secret)) == (200, "mira")


def test_a_password_comes_as_basic(mira_with_password: User) -> None:
    assert me(basic("mira", PASSWORD)) == (200, "mira")
    assert me(basic("mira", PASSWORD)) == (200, "mira")  # now from memory
    assert me(basic("mira", "wrong"))[0] == 401
    assert me(basic("mira", ""))[0] == 401


def test_a_remembered_password_ends_with_its_change_and_with_its_user(mira_with_password: User) -> None:
    assert me(basic("mira", PASSWORD))[0] == 200
    mira_with_password.set_password("another " + PASSWORD)
    mira_with_password.save(update_fields=["password"])
    assert me(basic("mira", PASSWORD))[0] == 401
    assert me(basic("mira", "another " + PASSWORD))[0] == 200

    services.set_active(actor=None, user=mira_with_password, is_active=False)
    assert me(basic("mira", "another " + PASSWORD))[0] == 401


def test_guessing_passwords_is_stopped(mira_with_password: User) -> None:
    for _ in range(FAILURES_ALLOWED):
        assert me(basic("mira", "guess"))[0] == 401

    answer = Client(headers=basic("mira", PASSWORD)).get("/api/v1/me/")
    assert answer.status_code == 401
    assert "Too many" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("behind_proxy", "forwarded", "source"),
    [
        (True, "203.0.113.9", "203.0.113.9"),
        (True, "1.2.3.4, 203.0.113.9", "203.0.113.9"),  # a stranger may write what stands before the last
        (True, "2001:DB8::1", "2001:db8::1"),
        (True, "nonsense", "127.0.0.1"),
        (True, "", "127.0.0.1"),
        (False, "203.0.113.9", "127.0.0.1"),
    ],
)
def test_the_source_of_a_request_is_what_the_own_proxy_saw(
    settings: Settings, caplog: pytest.LogCaptureFixture, behind_proxy: bool, forwarded: str, source: str
) -> None:
    settings.BEHIND_PROXY = behind_proxy

    Client(headers={"x-forwarded-for": forwarded}).get("/api/v1/me/")

    assert f"'ip': '{source}'" in caplog.text


def test_guesses_from_one_place_stop_nobody_at_another(mira_with_password: User, settings: Settings) -> None:
    settings.BEHIND_PROXY = True
    for _ in range(FAILURES_ALLOWED):
        assert me(basic("mira", "guess") | {"x-forwarded-for": "203.0.113.9"})[0] == 401

    assert me(basic("mira", PASSWORD) | {"x-forwarded-for": "203.0.113.9"})[0] == 401
    assert me(basic("mira", PASSWORD) | {"x-forwarded-for": "198.51.100.7"})[0] == 200


def test_a_person_without_a_password_has_none_to_guess(mira: User) -> None:
    for password in ("", "!", mira.password):
        assert me(basic("mira", password))[0] == 401


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic !!!", "Basic /w==", "Bearer", "Negotiate x", "cs_x", "Basic bWlyYQ==", "Basic bQBpcmE6eA=="],
)
def test_a_header_that_cannot_be_read_is_refused(mira: User, header: str) -> None:
    """The last one holds a NUL."""
    answer = Client(headers={"authorization": header}).get(SEARCH)

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Basic realm="mlflow"'
    assert set(answer.json()) == {"error_code", "message"}


def test_a_wrong_header_does_not_fall_back_to_the_session(session: Callable[[User], Client], admin: User) -> None:
    assert session(admin).get("/api/v1/me/", headers=bearer("cs_wrong")).status_code == 401


def test_the_header_wins_over_the_session(session: Callable[[User], Client], admin: User, mira: User) -> None:
    _, secret = token_of(mira)

    assert session(admin).get("/api/v1/me/", headers=bearer(secret)).json()["username"] == "mira"


# -- Shapes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/2.0/mlflow/nothing", 404, "ENDPOINT_NOT_FOUND"),
        ("GET", "/api/9.0/x", 404, "ENDPOINT_NOT_FOUND"),
        ("GET", "/ajax-api/2.0/mlflow/nothing", 404, "ENDPOINT_NOT_FOUND"),
        ("PUT", SEARCH, 405, "BAD_REQUEST"),
        ("GET", "/api/2.0/mlflow/registered-models/get?name=%00", 400, "INVALID_PARAMETER_VALUE"),
        ("GET", "/api/2.0/mlflow/registered-models/get?name=nothing", 404, "RESOURCE_DOES_NOT_EXIST"),
    ],
)
def test_the_mlflow_door_refuses_in_mlflows_shape(mira: User, method: str, path: str, status: int, code: str) -> None:
    answer = Client(headers=bearer(token_of(mira)[1])).generic(method, path)

    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert answer.json()["message"]


def test_a_stranger_hears_that_they_are_one_not_that_a_form_has_expired(db: None) -> None:
    answer = Client(enforce_csrf_checks=True).post("/api/2.0/mlflow/runs/create", "{}", content_type="application/json")

    assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")


def test_a_session_at_the_mlflow_door_needs_a_csrf_token(session: Callable[[User], Client], mira: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies = session(mira).cookies

    answer = client.post("/api/2.0/mlflow/registered-models/create", {"name": "x"}, content_type="application/json")

    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")


def test_a_token_for_reading_searches_and_writes_nothing(mira: User) -> None:
    make_model("churn")
    client = Client(headers=bearer(token_of(mira, read_only=True)[1]))

    search = client.post(
        "/api/2.0/mlflow/runs/search", json.dumps({"experiment_ids": ["0"]}), content_type="application/json"
    )
    write = client.post("/api/2.0/mlflow/registered-models/create", {"name": "x"}, content_type="application/json")

    assert client.get(SEARCH).status_code == 200
    assert search.status_code == 200
    assert (write.status_code, write.json()["error_code"]) == (403, "PERMISSION_DENIED")


# -- In the browser ----------------------------------------------------------------------------------------------------


def test_a_stranger_comes_back_to_where_they_wanted_to_be(mira_with_password: User) -> None:
    client = Client()

    wanted = client.get("/reviews/?tab=mine&x=1")
    arrived = client.post(wanted["Location"], {"login": "mira", "password": PASSWORD})

    assert wanted["Location"] == "/sign-in/?next=/reviews/%3Ftab%3Dmine%26x%3D1"
    assert (arrived.status_code, arrived["Location"]) == (302, "/reviews/?tab=mine&x=1")


def test_nobody_is_led_elsewhere_after_signing_in(mira_with_password: User) -> None:
    answer = Client().post("/sign-in/?next=https://evil.example/", {"login": "mira", "password": PASSWORD})

    assert answer["Location"] == "/reviews/"


def test_an_htmx_stranger_is_led_to_the_whole_sign_in_page(db: None) -> None:
    answer = Client().get("/models/", headers={"HX-Request": "true"})

    assert answer["HX-Redirect"] == "/sign-in/"


def test_nobody_signs_up(db: None) -> None:
    for path in ("/sign-up/", "/accounts/signup/", "/account/signup/", "/signup/"):
        assert Client().get(path).status_code == 404


def test_the_sign_in_form_stops_guessing(mira_with_password: User) -> None:
    client = Client()
    for _ in range(6):
        client.post("/sign-in/", {"login": "mira", "password": "guess"})

    answer = client.post("/sign-in/", {"login": "mira", "password": PASSWORD})

    assert answer.status_code != 302
    assert "_auth_user_id" not in client.session


def test_a_link_signs_in_by_its_button_only(mira: User) -> None:
    path, client = services.create_sign_in_link(actor=None, user=mira), Client()

    for _ in range(3):  # mail scanners follow links
        assert "mira" in client.get(path).content.decode()
    assert SignInLink.objects.get().used_at is None
    signed_in = client.post(path)

    assert (signed_in.status_code, signed_in["Location"]) == (302, "/reviews/")
    assert client.get("/reviews/").status_code == 200
    assert Client().post(path).status_code == 403


def test_the_button_of_a_link_cannot_be_forged(mira: User) -> None:
    path = services.create_sign_in_link(actor=None, user=mira)

    assert Client(enforce_csrf_checks=True).post(path).status_code == 403
    assert SignInLink.objects.get().used_at is None


def test_signing_out_takes_a_button(session: Callable[[User], Client], mira: User) -> None:
    client = session(mira)

    assert client.get("/sign-out/").status_code == 200
    assert client.get("/reviews/").status_code == 200
    client.post("/sign-out/")
    assert client.get("/reviews/").status_code == 302


def test_a_session_ends_when_its_user_is_switched_off(session: Callable[[User], Client], mira: User) -> None:
    client = session(mira)
    assert client.get("/reviews/").status_code == 200

    services.set_active(actor=None, user=mira, is_active=False)

    assert client.get("/reviews/").status_code == 302


@pytest.mark.parametrize(
    "key", ["\\000" * 32, "\\'" * 20, "a b c d e f g", "é" * 32], ids=["nul", "quotes", "blanks", "é"]
)
def test_a_session_that_nobody_was_given_is_none(db: None, key: str) -> None:
    answer = Client().get("/reviews/", headers={"cookie": f'{settings.SESSION_COOKIE_NAME}="{key}"'})

    assert (answer.status_code, answer["Location"]) == (302, "/sign-in/?next=/reviews/")


def test_a_first_password_is_set_and_used(session: Callable[[User], Client], mira: User) -> None:
    client = session(mira)

    weak = client.post("/account/password/set/", {"password1": "password", "password2": "password"})
    good = client.post("/account/password/set/", {"password1": PASSWORD, "password2": PASSWORD})

    assert weak.status_code == 200
    assert good.status_code == 302
    assert User.objects.get(pk=mira.pk).check_password(PASSWORD)


@pytest.mark.parametrize("host", ["evil.example", "testserver.evil.example", "", "a b"])
def test_another_host_is_refused(mira: User, host: str) -> None:
    answer = Client(headers={**bearer(token_of(mira)[1]), "host": host}).get(SEARCH)

    assert answer.status_code == 400
    assert answer.json()["error_code"] == "BAD_REQUEST"
