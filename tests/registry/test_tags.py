"""Tags: the JSON beside the row and the search table always say the same."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from accounts.models import Level, User
from core.errors import Invalid, NotPermitted
from registry import services
from registry.models import PROMPT_TAG, ModelTag, ModelVersion, RegisteredModel, VersionTag
from tests.factories import make_model, make_user, make_version
from tests.registry.conftest import person

pytestmark = pytest.mark.django_db


def model_tags_rebuilt(model: RegisteredModel) -> dict[str, str]:
    return dict(ModelTag.objects.filter(model=model).values_list("key", "value"))


def version_tags_rebuilt(version: ModelVersion) -> dict[str, str]:
    return dict(VersionTag.objects.filter(version=version).values_list("key", "value"))


class TestBothFormsAgree(TestCase):
    """Whatever is set and deleted, in any order, one form can be rebuilt from the other."""

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.text("xyz", max_size=3))), max_size=12))
    def test_the_rows_rebuild_the_json(self, changes: list[tuple[str, str | None]]) -> None:
        actor = person(f"editor-{User.objects.count()}", Level.EDIT)
        version = make_version()
        model = version.model
        for key, value in changes:
            if value is None:
                services.delete_model_tag(actor=actor, model=model, key=key)
                services.delete_version_tag(actor=actor, version=version, key=key)
            else:
                services.set_model_tag(actor=actor, model=model, key=key, value=value)
                services.set_version_tag(actor=actor, version=version, key=key, value=value)

        assert RegisteredModel.objects.get(pk=model.pk).tags == model_tags_rebuilt(model)
        assert ModelVersion.objects.get(pk=version.pk).tags == version_tags_rebuilt(version)


def test_tags_given_at_creation_are_in_both_forms(manager: User) -> None:
    model = services.create_model(actor=manager, name="churn", tags={"tier": "critical", "empty": ""})
    version = services.create_version(actor=manager, model=model, source="s3://bucket/x", tags={"a": "1"})

    assert RegisteredModel.objects.get().tags == model_tags_rebuilt(model) == {"tier": "critical", "empty": ""}
    assert ModelVersion.objects.get().tags == version_tags_rebuilt(version) == {"a": "1"}


def test_the_hash_is_the_start_of_the_value_s_sha256(editor: User) -> None:
    model = make_model()

    services.set_model_tag(actor=editor, model=model, key="k", value="Größe")

    expected = int.from_bytes(hashlib.sha256("Größe".encode()).digest()[:8], "big", signed=True)
    assert ModelTag.objects.get().value_hash == expected


@pytest.mark.parametrize(
    "key", ["", "a//b", "/a", ".", "..", "a/../b", "../a", "a/", "k" * 251, "a\nb", "a;b", "a%b", "a=b"]
)
def test_unusable_keys_are_refused(editor: User, key: str) -> None:
    with pytest.raises(Invalid):
        services.set_model_tag(actor=editor, model=make_model(), key=key, value="v")
    with pytest.raises(Invalid):
        services.set_version_tag(actor=editor, version=make_version(), key=key, value="v")
    assert not ModelTag.objects.exists() and not VersionTag.objects.exists()


@pytest.mark.parametrize("key", ["größe", "a b", "a.b-c_d/e:f", "k" * 250, "mlflow.user"])
def test_other_keys_are_fine(editor: User, key: str) -> None:
    services.set_model_tag(actor=editor, model=make_model(), key=key, value="")

    assert ModelTag.objects.get().key == key


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
    assert version_tags_rebuilt(version) == {"a": "b"}


def test_the_prompt_tag_makes_a_prompt_and_taking_it_away_a_model_again(editor: User) -> None:
    model = make_model()

    services.set_model_tag(actor=editor, model=model, key=PROMPT_TAG, value="true")
    assert RegisteredModel.objects.get().is_prompt
    services.set_model_tag(actor=editor, model=model, key=PROMPT_TAG, value="false")
    assert not RegisteredModel.objects.get().is_prompt


def test_tags_of_other_models_stay(editor: User) -> None:
    one, other = make_model(tags={"k": "1"}), make_model(tags={"k": "2"}, user=make_user())

    services.delete_model_tag(actor=editor, model=one, key="k")

    assert model_tags_rebuilt(one) == {} and model_tags_rebuilt(other) == {"k": "2"}
