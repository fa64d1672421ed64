"""Tags of models and versions: what may be one, who sets them, and what they leave alone."""

from __future__ import annotations

import pytest

from accounts.models import User
from core.errors import Invalid, NotPermitted
from registry import services
from registry.models import PROMPT_TAG, ModelVersion, RegisteredModel
from tests.factories import make_model, make_user, make_version

pytestmark = pytest.mark.django_db


def tags_of(row: RegisteredModel | ModelVersion) -> dict[str, str]:
    row.refresh_from_db()
    return row.tags


def test_tags_are_given_at_creation_set_and_deleted(manager: User) -> None:
    model = services.create_model(actor=manager, name="churn", tags={"tier": "critical", "empty": ""})
    version = services.create_version(actor=manager, model=model, source="s3://bucket/x", tags={"a": "1"})
    assert (tags_of(model), tags_of(version)) == ({"tier": "critical", "empty": ""}, {"a": "1"})

    for key, value in (("tier", "low"), ("new", "Größe")):
        services.set_model_tag(actor=manager, model=model, key=key, value=value)
        services.set_version_tag(actor=manager, version=version, key=key, value=value)
    for key in ("empty", "a", "absent"):
        services.delete_model_tag(actor=manager, model=model, key=key)
        services.delete_version_tag(actor=manager, version=version, key=key)

    assert tags_of(model) == tags_of(version) == {"tier": "low", "new": "Größe"}


@pytest.mark.parametrize(
    "key", ["", "a//b", "/a", ".", "..", "a/../b", "../a", "a/", "k" * 251, "a\nb", "a;b", "a%b", "a=b"]
)
def test_unusable_keys_are_refused(editor: User, key: str) -> None:
    version = make_version()
    with pytest.raises(Invalid):
        services.set_model_tag(actor=editor, model=version.model, key=key, value="v")
    with pytest.raises(Invalid):
        services.set_version_tag(actor=editor, version=version, key=key, value="v")
    assert tags_of(version) == tags_of(version.model) == {}


@pytest.mark.parametrize("key", ["größe", "a b", "a.b-c_d/e:f", "k" * 250, "mlflow.user"])
def test_other_keys_are_fine(editor: User, key: str) -> None:
    services.set_model_tag(actor=editor, model=make_model(), key=key, value="")

    assert RegisteredModel.objects.get().tags == {key: ""}


def test_a_value_has_a_limit(editor: User) -> None:
    model = make_model()

    services.set_model_tag(actor=editor, model=model, key="k", value="x" * 100_000)
    with pytest.raises(Invalid, match="100000"):
        services.set_model_tag(actor=editor, model=model, key="k", value="x" * 100_001)


def test_tags_move_no_clock(editor: User) -> None:
    version = make_version(last_updated_timestamp=1)
    RegisteredModel.objects.update(last_updated_timestamp=1)

    services.set_model_tag(actor=editor, model=version.model, key="k", value="v")
    services.set_version_tag(actor=editor, version=version, key="k", value="v")

    assert RegisteredModel.objects.get().last_updated_timestamp == 1
    assert ModelVersion.objects.get().last_updated_timestamp == 1


def test_a_reader_tags_nothing(reader: User) -> None:
    version = make_version(tags={"a": "b"})

    for attempt in (
        lambda: services.set_model_tag(actor=reader, model=version.model, key="k", value="v"),
        lambda: services.delete_model_tag(actor=reader, model=version.model, key="k"),
        lambda: services.set_version_tag(actor=reader, version=version, key="k", value="v"),
        lambda: services.delete_version_tag(actor=reader, version=version, key="a"),
    ):
        with pytest.raises(NotPermitted):
            attempt()
    assert tags_of(version) == {"a": "b"}


def test_the_prompt_tag_makes_a_prompt_and_taking_it_away_a_model_again(editor: User) -> None:
    model = make_model()

    services.set_model_tag(actor=editor, model=model, key=PROMPT_TAG, value="true")
    assert RegisteredModel.objects.get().is_prompt
    services.set_model_tag(actor=editor, model=model, key=PROMPT_TAG, value="false")
    assert not RegisteredModel.objects.get().is_prompt


def test_tags_of_other_models_stay(editor: User) -> None:
    one, other = make_model(tags={"k": "1"}), make_model(tags={"k": "2"}, user=make_user())

    services.delete_model_tag(actor=editor, model=one, key="k")

    assert tags_of(one) == {} and tags_of(other) == {"k": "2"}
