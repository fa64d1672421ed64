"""A token for some models: whoever holds it, an administrator included, gets nothing of any other, through any door."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from accounts import services as accounts
from accounts.models import Level, Token, User
from approvals import services
from core import prepared
from core.errors import Invalid, NotPermitted
from registry.models import ModelVersion, RegisteredModel
from registry.search import search_models, search_versions
from registry.services import create_model, rename_model, update_model
from tests.cast import Api, person, token_of
from tests.factories import make_model, make_version
from tests.scenes import PRODUCTION
from tests.web.sweep import ROUTES, UNSAFE, World, changed, send, state, world
from web import authentication

__all__ = ["world"]  # a fixture

INSIDE, OUTSIDE = "fraud-*", "the-takeover-is-on-monday"
API = "/api/2.0/mlflow"
LISTS = [f"/api/v1/{noun}/" for noun in ("models", "requests", "events", "deliveries")]  # asked without conditions
# Their own runs, experiments and files belong to no model.
OF_RUNS = ("tracking.", "registry.ArtifactFile", "registry.DirectUpload")


def limited(user: User, models: str = INSIDE) -> User:
    """The person of a request by such a token."""
    again = User.objects.get(pk=user.pk)
    again.reach = models
    return again


def client_of(user: User, models: str = INSIDE) -> Client:
    _, secret = token_of(user, models=models)
    return Client(headers={"authorization": f"Bearer {secret}"}, raise_request_exception=False)


@pytest.mark.parametrize("who", ["admin", "mira"])
def test_no_route_tells_of_a_model_outside(who: str, world: World, request: pytest.FixtureRequest) -> None:
    model = RegisteredModel.objects.get(name="churn-predictor")
    RegisteredModel.objects.update(description=OUTSIDE)
    ModelVersion.objects.update(description=OUTSIDE)
    version = model.versions.latest("version")
    services.add_comment(actor=request.getfixturevalue("admin"), version=version, text=OUTSIDE)
    client, told = client_of(request.getfixturevalue(who)), []

    for route in ROUTES:
        for method in ("GET", *(("POST",) if route.only_reads else ())):
            answer = send(client, method, route, world)
            content = b"".join(answer.streaming_content) if answer.streaming else answer.content  # type: ignore[attr-defined]
            if OUTSIDE.encode() in content:
                told.append((method, route.pattern))

    told += [("GET", address) for address in LISTS if OUTSIDE.encode() in client.get(address).content]
    assert told == []


def test_the_same_routes_tell_of_it_by_a_token_for_its_name(world: World, admin: User) -> None:
    """Else the test above would prove nothing."""
    version = ModelVersion.objects.filter(model__name="churn-predictor").latest("id")
    RegisteredModel.objects.update(description=OUTSIDE)
    services.add_comment(actor=admin, version=version, text=OUTSIDE)
    client = client_of(admin, "churn-*")

    told = [
        route.view for route in ROUTES if OUTSIDE.encode() in getattr(send(client, "GET", route, world), "content", b"")
    ]

    told += [address for address in LISTS if OUTSIDE.encode() in client.get(address).content]
    assert "/api/v1/models/" in told and "/api/v1/events/" in told
    assert {"web.pages.models.detail", "web.pages.models.index", "web.mlflow.registered_models.search"} <= set(told)


@pytest.mark.sweep
@pytest.mark.parametrize("who", ["admin", "mira"])
def test_a_limited_token_writes_nothing_outside(who: str, world: World, request: pytest.FixtureRequest) -> None:
    client, before, wrote = client_of(request.getfixturevalue(who)), state(), []

    for route, method in itertools.product(ROUTES, UNSAFE):
        send(client, method, route, world)
        tables = [table for table in changed(before) if not table.startswith(OF_RUNS)]
        if tables:
            wrote.append((method, route.pattern, tables))
            before = state()

    assert wrote == []


def test_levels_end_where_the_token_does(admin: User, sam: User, settings: Settings) -> None:
    make_version("fraud-score"), make_version("churn")

    for user, default in itertools.product((admin, sam), ("NONE", "READ", "MANAGE")):
        settings.DEFAULT_MODEL_LEVEL = default
        seen = limited(user)
        assert [model.name for model in RegisteredModel.objects.visible_to(seen)] == ["fraud-score"]
        assert [version.model.name for version in ModelVersion.objects.visible_to(seen)] == ["fraud-score"]
        assert [found.name for found in search_models(seen).rows] == ["fraud-score"]
        assert [found.name for found in search_versions(seen).rows] == ["fraud-score"]
        assert search_versions(seen, filter_text="name = 'churn'").rows == []


def test_a_limit_gives_no_level(eve: User, settings: Settings) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    make_version("fraud-score")

    assert not RegisteredModel.objects.visible_to(limited(eve)).exists()
    assert search_models(limited(eve)).rows == []


def test_an_auditors_limited_token_reads_no_more(settings: Settings, db: None) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    make_version("fraud-score"), make_version("churn")
    auditor = person("auditor", is_auditor=True)

    assert [model.name for model in RegisteredModel.objects.visible_to(limited(auditor))] == ["fraud-score"]


def test_models_are_created_and_renamed_within_the_limit_only(admin: User) -> None:
    with pytest.raises(NotPermitted, match="for the models fraud-\\* only"):
        create_model(actor=limited(admin), name="churn")
    model = create_model(actor=limited(admin), name="fraud-score")
    with pytest.raises(NotPermitted, match="for the models fraud-\\* only"):
        rename_model(actor=limited(admin), model=model, new_name="churn")
    with pytest.raises(NotPermitted, match="for the models fraud-\\* only"):
        update_model(actor=limited(admin), model=make_model("churn"), description="Mine.")

    rename_model(actor=limited(admin), model=model, new_name="fraud-2")
    assert set(RegisteredModel.objects.values_list("name", flat=True)) == {"fraud-2", "churn"}


def test_a_limited_token_administers_nothing_and_makes_no_token(admin: User, mira: User) -> None:
    token, _ = token_of(mira)
    writes: list[Callable[[User], object]] = [
        lambda by: accounts.create_user(actor=by, username="noor"),
        lambda by: accounts.grant(actor=by, level=Level.MANAGE, user=mira, pattern=INSIDE),
        lambda by: accounts.create_token(actor=by, user=by, name="wider", expires_in=None),
        lambda by: accounts.create_token(actor=by, user=by, name="same", expires_in=None, pattern=INSIDE),
        lambda by: accounts.revoke_token(actor=by, token=token),
        lambda by: services.publish_policy(actor=by, text="name: x"),
    ]

    for write in writes:
        with pytest.raises(NotPermitted, match="for the models fraud-\\* only"):
            write(limited(admin))


def test_its_review_counts_for_its_person_within_its_models(admin: User, mira: User) -> None:
    version = make_version("fraud-score", user=mira)
    asked = services.open_request(actor=mira, version=version, target=PRODUCTION)

    status = Api(admin, models=INSIDE).post(
        f"requests/{asked.pk}/reviews/", {"decision": "approve", "comment": "", "seen": seen(admin, asked.pk)}
    )

    assert status.status_code == 201, status.content
    version.refresh_from_db()
    assert version.current_stage == "Production"


def seen(user: User, pk: int) -> Any:
    return Api(user).get(f"requests/{pk}/").json()["seen"]


def test_a_limited_token_never_travels(mira: User) -> None:
    """What it may be given is known only with it: it is looked up before anything else, each time."""
    make_version("fraud-score"), make_version("churn")
    client, asked = client_of(mira), [f"{API}/registered-models/search", f"{API}/model-versions/search"]

    for _ in range(3):
        for address in asked:
            answer = client.get(address).content
            assert b"fraud-score" in answer and b"churn" not in answer
    assert not {token.digest for token in Token.objects.filter(pattern=INSIDE)} & authentication._regulars
    assert prepared._companion.get() is None


def test_a_repeated_call_is_not_answered_to_a_token_for_other_models(mira: User, admin: User) -> None:
    body, headers = {"name": "churn", "description": OUTSIDE}, {"Idempotency-Key": "once"}
    assert Api(admin).post("models/", body, headers=headers).status_code == 201

    answer = Api(admin, models=INSIDE).post("models/", body, headers=headers)

    assert answer.status_code == 409
    assert OUTSIDE not in answer.content.decode()


@pytest.mark.parametrize("models", ["", "x" * 257, "a\nb", "a\x00"])
def test_a_limit_that_cannot_be_read_is_refused(models: str, mira: User) -> None:
    with pytest.raises(Invalid):
        accounts.create_token(actor=mira, user=mira, name="ci", expires_in=timedelta(days=1), pattern=models)


def test_a_limit_reads_brackets_as_they_are(admin: User) -> None:
    make_model("a"), make_model("[ab]")

    assert [model.name for model in RegisteredModel.objects.visible_to(limited(admin, "[ab]"))] == ["[ab]"]
    assert client_of(admin, "[ab]").get("/api/v1/models/a/").status_code == 404


def test_every_door_makes_such_a_token_and_lists_show_it(mira: User, session: Callable[[User], Client]) -> None:
    made = Api(mira).post("tokens/", {"name": "api", "models": "churn-*"})
    page = session(mira).post("/account/tokens/", {"name": "page", "days": "30", "models": "fraud-*"})
    out = StringIO()
    call_command("create_token", "mira", "--models", "risk-*", "--read-only", stdout=out)

    assert (made.status_code, page.status_code) == (201, 200)
    assert list(Token.objects.exclude(name="tests").order_by("id").values_list("pattern", "read_only")) == [
        ("churn-*", False),
        ("fraud-*", False),
        ("risk-*", True),
    ]
    shown = session(mira).get("/account/").content.decode()
    listed = {token["models"] for token in Api(mira).get("tokens/").json()["items"]}
    assert "<code>churn-*</code>" in shown and "<code>risk-*</code>" in shown
    assert {"churn-*", "fraud-*", "risk-*", "*"} == listed
    with pytest.raises(CommandError, match="Name models"):
        call_command("create_token", "mira", "--models", "")
