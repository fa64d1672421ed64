"""Who may write to a run: whoever started it, and administrators. Everybody signed in may read.

Runs belong to no model: a token for some models writes the runs of the person behind it, and no others.
"""

from __future__ import annotations

from accounts.models import User
from accounts.permissions import is_administrator
from core.answers import YES, Answer
from tracking.models import Experiment, LoggedModel, Run


def can_write(user: User, thing: Run | LoggedModel) -> Answer:
    if thing.user is None or thing.user.person_id == user.person_id:
        return YES
    what = "run" if isinstance(thing, Run) else "logged model"
    return is_administrator(
        user, f"Only {thing.user.username}, who made this {what}, and administrators may change it."
    )


def can_manage(user: User, experiment: Experiment) -> Answer:
    """Renaming, deleting and tagging an experiment touch everybody's runs in it."""
    if experiment.user is not None and experiment.user.person_id == user.person_id:
        return YES
    return is_administrator(user, "Only who made this experiment, and administrators, may change it.")
