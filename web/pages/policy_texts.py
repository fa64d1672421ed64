"""What somebody who writes a policy starts from: whole texts, and a commented example of each part."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True, slots=True)
class Template:
    key: str
    title: str
    about: str
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """One line of the requirements, or (``is_part``) a part of its own at the left edge."""

    title: str
    about: str
    text: str
    is_part: bool = False


def _template(key: str, title: str, about: str, text: str) -> Template:
    return Template(key, title, about, dedent(text).lstrip())


def _rule(title: str, about: str, text: str) -> Example:
    return Example(title, about, f"  # {about}\n  - {text}\n")


def _part(title: str, about: str, text: str) -> Example:
    return Example(title, about, f"# {about}\n{dedent(text).lstrip()}", is_part=True)


TEMPLATES = (
    _template(
        "production",
        "Production with figures and one approval",
        "A mark for a metric, no loss against what serves now, and one more pair of eyes.",
        """
        name: production-gate
        description: What every model must show before it serves customers.
        match:
          models: ["*"]
        guards: [stage:Production]
        requirements:
          - metric: {name: accuracy, min: 0.90}
          - metric: {name: accuracy, baseline: production, max_drop: 0.005}
          - description: {min_length: 40}
          - approvals: {count: 1}
        reviews:
          expires_after: 14d
        """,
    ),
    _template(
        "regulated",
        "Two lines of defence",
        "Scanned files, a clean commit, an approval each of risk and the leads, and no changes over the weekend.",
        """
        name: regulated-models
        description: Models whose decisions are audited.
        match:
          models: ["credit-*", "fraud-*"]
        guards: [stage:Production, alias:champion]
        requirements:
          - scan: {vouched_by: risk}
          - signature: {compatible_with: production}
          - run: {finished: true, commit: clean, datasets: true}
          - metric: {name: auc, baseline: production, max_drop: 0.005}
          - description: {min_length: 100}
          - approvals: {count: 2, teams: {risk: 1, ml-leads: 1}}
        reviews:
          author_may_approve: false
          dismiss_on: [artifacts, evidence, policy, baseline]
          threads_resolved: true
          remind_after: 2d
          expires_after: 14d
        freeze:
          - every: {from: Fri 16:00, until: Mon 07:00, zone: UTC}
            reason: Nobody is on call over the weekend.
        bypass:
          teams: [risk]
        """,
    ),
    _template(
        "champion",
        "Champion by machine",
        "The pipeline moves the alias by itself once its tests passed and nothing got worse; nobody has to click.",
        """
        name: champion-by-pipeline
        description: The alias champion follows the tests.
        match:
          models: ["*"]
        guards: [alias:champion]
        requirements:
          - check: {name: integration-tests, from: ci-bot}
          - metric: {name: accuracy, baseline: target, max_drop: 0}
          - signature: {compatible_with: target}
        on_direct_change: allow_if_satisfied
        """,
    ),
    _template(
        "trial",
        "Staging on trial",
        "Stops nobody. See in the record what it would have said, then make it block.",
        """
        name: staging-on-trial
        description: What we may soon ask before Staging.
        match:
          models: ["*"]
        guards: [stage:Staging]
        enforcement: shadow
        requirements:
          - run: {finished: true, commit: recorded}
          - description: {min_length: 20}
        """,
    ),
)

EXAMPLES = (
    _rule("Metric: a mark", "The last value of a metric of the run.", "metric: {name: accuracy, min: 0.90}"),
    _rule(
        "Metric: against the baseline",
        "How far it may fall behind the version in Production.",
        "metric: {name: auc, baseline: production, max_drop: 0.005}",
    ),
    _rule(
        "Check by a pipeline",
        "A result that counts only from the account that is named.",
        "check: {name: integration-tests, from: ci-bot}",
    ),
    _rule(
        "Approvals", "So many people, and how many of them from which team.", "approvals: {count: 2, teams: {risk: 1}}"
    ),
    _rule(
        "Scan of the files",
        "No pickle imports what is not known; the team looks at what cannot be read.",
        "scan: {vouched_by: risk}",
    ),
    _rule("Signature", "Callers of the version in Production can go on.", "signature: {compatible_with: production}"),
    _rule(
        "Run",
        "The run ended, its commit was clean, its data sets have a digest.",
        "run: {finished: true, commit: clean, datasets: true}",
    ),
    _rule("Description", "So many characters that say what the version is.", "description: {min_length: 40}"),
    _rule("Tags", "Keys that the version has, each with a value.", "tags: [owner, use_case]"),
    _part(
        "How reviews count",
        "Who may approve, what voids it, and how long a request waits.",
        """
        reviews:
          author_may_approve: false
          dismiss_on: [artifacts, evidence, policy, baseline]
          threads_resolved: true
          remind_after: 2d
          expires_after: 14d
        """,
    ),
    _part(
        "Freeze",
        "When nothing moves: once, or every week.",
        """
        freeze:
          - from: 2026-12-20T00:00Z
            until: 2027-01-03T00:00Z
            reason: End of the year.
        """,
    ),
    _part("Bypass", "Who may go ahead although not all is met, with a reason.", "bypass: {teams: [ml-leads]}\n"),
    _part("Direct moves", "refuse, open_request or allow_if_satisfied.", "on_direct_change: open_request\n"),
    _part("Enforcement", "block, warn or shadow.", "enforcement: warn\n"),
)


def template_named(key: str) -> Template:
    """The first where nobody knows the key."""
    return next((template for template in TEMPLATES if template.key == key), TEMPLATES[0])
