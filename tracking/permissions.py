"""Who may write to a run: whoever started it, and administrators. Everybody signed in may read."""

from __future__ import annotations

from accounts.models import User
from core.answers import YES, Answer, no
from tracking.models import Experiment, LoggedModel, Run


def can_write(user: User, thing: Run | LoggedModel) -> Answer:
    if user.is_superuser or thing.user is None or thing.user.person_id == user.person_id:
        return YES
    what = "run" if isinstance(thing, Run) else "logged model"
    return no(f"Only {thing.user.username}, who made this {what}, and administrators may change it.")


def can_manage(user: User, experiment: Experiment) -> Answer:
    """Renaming, deleting and tagging an experiment touch everybody's runs in it."""
    if user.is_superuser or (experiment.user is not None and experiment.user.person_id == user.person_id):
        return YES
    return no("Only who made this experiment, and administrators, may change it.")
