"""Every write of the registry. Each locks the model, asks for the right, asks the gate, writes, records one event."""

from registry.services.aliases import delete_alias, set_alias
from registry.services.deployments import delete_deployment, report_deployment
from registry.services.grants import change_grants
from registry.services.models import create_model, delete_model, rename_model, update_model
from registry.services.readings import read_run_again
from registry.services.stages import move_to_stage
from registry.services.tags import delete_model_tag, delete_version_tag, set_model_tag, set_version_tag
from registry.services.versions import create_version, delete_version, update_version

__all__ = [
    "change_grants",
    "create_model",
    "create_version",
    "delete_alias",
    "delete_deployment",
    "delete_model",
    "delete_model_tag",
    "delete_version",
    "delete_version_tag",
    "move_to_stage",
    "read_run_again",
    "rename_model",
    "report_deployment",
    "set_alias",
    "set_model_tag",
    "set_version_tag",
    "update_model",
    "update_version",
]
