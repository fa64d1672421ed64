"""Who is signed in stays so: the sessions of django.contrib.sessions are taken over, each with whose it is."""

from __future__ import annotations

from django.apps.registry import Apps
from django.contrib.sessions.serializers import JSONSerializer
from django.core import signing
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from core.clock import now

COLUMNS = "session_key, session_data, expire_date"


def has_old_table(schema_editor: BaseDatabaseSchemaEditor) -> bool:
    return "django_session" in schema_editor.connection.introspection.table_names()


def take_over(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if not has_old_table(schema_editor):
        return
    here, session = schema_editor.connection, apps.get_model("accounts", "Session")
    with here.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO accounts_session ({COLUMNS}) SELECT {COLUMNS} FROM django_session WHERE expire_date > %s",
            [here.ops.adapt_datetimefield_value(now())],
        )
    people = set(apps.get_model("accounts", "User").objects.values_list("pk", flat=True))
    for key, data in list(session.objects.values_list("session_key", "session_data")):
        if (person := signed_in(data)) in people:
            session.objects.filter(pk=key).update(user_id=person)


def signed_in(data: str) -> int | None:
    try:
        held = signing.loads(data, salt="django.contrib.sessions.SessionStore", serializer=JSONSerializer)
    except signing.BadSignature:
        return None
    return int(held["_auth_user_id"]) if "_auth_user_id" in held else None


def give_back(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if has_old_table(schema_editor):
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO django_session ({COLUMNS}) SELECT {COLUMNS} FROM accounts_session")


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_sessions"),
    ]

    operations = [migrations.RunPython(take_over, give_back)]
