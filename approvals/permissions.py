"""May this person ask, judge, withdraw, comment, publish? Each answer carries its reason."""

from __future__ import annotations

from accounts.models import Membership, User
from accounts.permissions import is_administrator
from approvals.facts import makers_of
from approvals.models import Comment, Review, Reviewer, TransitionRequest
from approvals.policy import SCAN
from approvals.rulebook import Rulebook
from approvals.standing import STEPPED_BACK, Standing
from core.answers import YES, Answer, no
from registry.gate import Target
from registry.models import ModelVersion, TargetKind
from registry.permissions import can_edit, can_manage, can_move, can_read

Decision = Review.Decision


def can_request(user: User, version: ModelVersion) -> Answer:
    """Who can see a version may ask for anything."""
    return can_read(user, version.model)


def can_rewrite(user: User, comment: Comment) -> Answer:
    """Edit or delete a comment."""
    if user.person_id == comment.author.person_id:
        return YES
    return no("Only the person who wrote a comment edits or deletes it.")


def can_resolve(user: User, thread: Comment) -> Answer:
    """Resolve a thread, or open it again."""
    if user.person_id == thread.author.person_id or (thread.request and _asked(user, thread.request)):
        return YES
    stays = Target(TargetKind.STAGE, thread.version.current_stage)
    if can_move(user, thread.version, thread.request.asks_for if thread.request else stays):
        return YES
    asked = ", who asked" if thread.request else ""
    return no(f"Only who began the thread{asked} or who may move the version resolves or reopens it.")


def can_report_check(user: User, version: ModelVersion, name: str) -> Answer:
    """Who may write to the model, and who is named as the reporter of this check by a policy about it. Under the name
    of the scan people vouch for files, and nobody else reports."""
    if name == SCAN:
        return can_vouch(user, version)
    if (answer := can_edit(user, version.model)) or not can_read(user, version.model):
        return answer
    over = Rulebook.load().over(version.model.name, version.model.tags)
    asked = (check for rule in over for check in rule.checks)
    if any((check.name, check.reporter) == (name, user.username) for check in asked):
        return YES
    return answer


def can_vouch(user: User, version: ModelVersion) -> Answer:
    """Say of files that could not be read that one has looked at them: somebody of the team that a policy names, who
    made none of it. Whoever asks for the version is told by the requirement that it does not count."""
    if not (answer := can_read(user, version.model)):
        return answer
    if user.is_service:
        return no("A person looks at files: a service account cannot vouch for them.")
    rules = [rule for rule in Rulebook.load().over(version.model.name, version.model.tags) if rule.vouchers]
    teams = {team for rule in rules for team in rule.vouchers}
    mine = set(Membership.objects.filter(user=user, team__name__in=teams).values_list("team__name", flat=True))
    rules = [rule for rule in rules if mine.intersection(rule.vouchers)]
    if not rules:
        named = f" Only somebody of {' or '.join(sorted(teams))} vouches for its files." if teams else ""
        return no(f"You are in no team that a policy lets vouch for the files of {version.model.name}.{named}")
    if any(rule.read and rule.read.reviews.author_may_approve for rule in rules):
        return YES
    did = makers_of(version).get(user.person_id)
    return no(f"You {did} this version: somebody else must look at its files.") if did else YES


def can_review(user: User, review_request: TransitionRequest, decision: str, standing: Standing) -> Answer:
    """May ``user`` say this now? One statement at most: the standing is at hand.

    To approve is to count: whoever no requirement would count is told why. To object, it is enough to be one who
    could count, or who may move the version.
    """
    if not (answer := can_read(user, review_request.model) and _is_open(review_request)):
        return answer
    if user.person_id in standing.known.recused:
        return no(STEPPED_BACK)
    counting = standing.would_count(user)
    if decision == Decision.APPROVE or counting:
        return counting
    if can_move(user, review_request.version, review_request.asks_for):
        return YES
    return no("To ask for changes or to reject needs one whose approval would count, or who may move this version.")


def can_ask_for_review(user: User, review_request: TransitionRequest) -> Answer:
    """Ask somebody to look: whoever may say something here."""
    return can_read(user, review_request.model) and _is_open(review_request)


def can_be_asked(person: User, review_request: TransitionRequest) -> Answer:
    if person.is_service or not person.is_active:
        return no(f"{person.username} is no person who could look at it.")
    if _asked(person, review_request):
        return no(f"{person.display_name} asked for this: ask somebody else.")
    if not can_read(person, review_request.model):
        return no(f"{person.display_name} may not read {review_request.model.name}. Who manages it can grant it.")
    return YES


def can_withdraw_ask(user: User, part: Reviewer) -> Answer:
    if part.asked_by and user.person_id == part.asked_by.person_id:
        return YES
    return _asked_or_manages(user, part.request, "withdraw it, and who asked them")


def can_recuse(user: User, review_request: TransitionRequest, standing: Standing, part: Reviewer | None) -> Answer:
    """Step back: a person who was asked (``part``, if they have one), or who could give a verdict."""
    if not (answer := can_read(user, review_request.model) and _is_open(review_request)):
        return answer
    if user.is_service:
        return no("A service account takes no part in reviews: there is nothing to step back from.")
    if part and part.recused_at:
        return no("You have stepped back from this review already.")
    if (part and part.asked_by_id) or any(
        can_review(user, review_request, decision, standing) for decision in Decision
    ):
        return YES
    return no("This does not wait for you: there is nothing to step back from.")


def can_step_in_again(user: User) -> Answer:
    """Who stepped back: never the service account of that person in their place."""
    return no("A service account takes no part in reviews.") if user.is_service else YES


def can_withdraw(user: User, review_request: TransitionRequest) -> Answer:
    return _asked_or_manages(user, review_request, "withdraw it")


def can_reschedule(user: User, review_request: TransitionRequest) -> Answer:
    return _asked_or_manages(user, review_request, "say when it is carried out")


def can_bypass(user: User, review_request: TransitionRequest, standing: Standing) -> Answer:
    """Whom every policy that blocks names, by their teams of now; one that cannot be read names nobody."""
    if not (answer := can_read(user, review_request.model) and _is_open(review_request)):
        return answer
    if user.is_service:
        return no("A bypass is the act of a person, not of a service account.")
    blocking = [rule for rule in standing.rules if rule.blocks]
    if not blocking:
        return no("No policy stands in the way: there is nothing to bypass.")
    mine = frozenset(team for team, members in standing.known.bypassers.items() if user.person_id in members)
    for rule in blocking:
        if rule.read is None:
            return no(f"The policy {rule.name} cannot be read, so nobody knows whom it lets bypass it.")
        if not rule.read.bypass.names(user.username, mine):
            return no(f"The policy {rule.name} does not name you among those who may bypass it.")
    if standing.is_satisfied:
        return no("All requirements are met: there is nothing to bypass.")
    return YES


def can_mark_ready(user: User, review_request: TransitionRequest) -> Answer:
    if not (answer := _is_open(review_request)):
        return answer
    if review_request.state != TransitionRequest.State.NEEDS_CHANGES:
        return no("Nobody has asked for changes.")
    if _asked(user, review_request):
        return YES
    return no("Only the person who asked says that it is ready again.")


def can_publish_policies(user: User) -> Answer:
    return is_administrator(user, "Only an administrator publishes policies.")


def _is_open(review_request: TransitionRequest) -> Answer:
    if review_request.is_pending:
        return YES
    return no(f"The request is closed: {review_request.get_state_display().lower()}.")


def _asked_or_manages(user: User, review_request: TransitionRequest, act: str) -> Answer:
    if not (answer := _is_open(review_request)):
        return answer
    if _asked(user, review_request) or can_manage(user, review_request.model):
        return YES
    return no(f"Only the person who asked, or who manages the model, may {act}.")


def _asked(user: User, review_request: TransitionRequest) -> bool:
    return user.person_id == review_request.requester.person_id
