"""The forms of a webhook's messages. A new one is a module with a ``FORM``, a member of ``Channel.Form`` and a line."""

from __future__ import annotations

from notifications.forms import databricks, mlflow, standard
from notifications.forms.base import Form
from notifications.models import Channel

FORMS: dict[str, Form] = {
    Channel.Form.STANDARD: standard.FORM,
    Channel.Form.MLFLOW: mlflow.FORM,
    Channel.Form.DATABRICKS: databricks.FORM,
}
