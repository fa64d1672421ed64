"""From the text of a policy to the policy. What is not understood is refused with its line, never ignored."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import available_timezones

import yaml

from approvals.policy import globs, source
from approvals.policy.document import (
    BASELINES,
    CHANGES,
    COMMITS,
    COMPARED_WITH,
    DAYS,
    DIRECT_CHANGES,
    ENFORCEMENTS,
    PARTS,
    SCAN,
    STAGES,
    ApprovalsRule,
    Bypass,
    Change,
    CheckRule,
    DescriptionRule,
    Freeze,
    Guard,
    Match,
    MetricRule,
    Policy,
    Requirement,
    Reviews,
    RunRule,
    ScanRule,
    SignatureRule,
    TagsRule,
    Weekly,
    Window,
)
from approvals.policy.moments import leave_no_time
from approvals.policy.source import Number, Problems, closest, listed, quoted

_SLUG = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
MOST_FREEZES = 50
MOMENT = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII)
WEEKLY = re.compile(rf"({'|'.join(DAYS)}) ([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_ALIAS = re.compile(r"[\w*?-]+")


def parse(text: str) -> Policy:
    """Read a policy; PolicyError names every problem with its line."""
    root = source.compose(text)
    problems = Problems()
    policy = _policy(root, problems)
    problems.raise_if_any()
    return policy


@lru_cache(maxsize=256)
def parse_published(text: str) -> Policy:
    """The same of a text that was published, once: it says the same for ever. What anybody may type is not kept: it
    would take the memory, and the place of what is in force."""
    return parse(text)


def _policy(root: yaml.Node, problems: Problems) -> Policy:
    known = (
        "name", "description", "match", "guards", "enforcement", "requirements", "reviews", "on_direct_change",
        "archive_replaced", "freeze", "bypass",
    )  # fmt: skip
    found = source.fields(root, "a policy", known, problems, required=("name", "match", "guards", "requirements"))
    name = description = ""
    about = Match(models=())
    guards: tuple[Guard, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    enforcement, on_direct_change = ENFORCEMENTS[0], DIRECT_CHANGES[0]
    reviews = Reviews()
    archive_replaced = True
    freeze: tuple[Freeze, ...] = ()
    bypass = Bypass()
    for key, node in found.items():
        match key:
            case "name":
                name = source.text(node, "name", problems, longest=100)
                if name and not _SLUG.fullmatch(name):
                    problems.add(node, f"name may hold letters, digits, - and _, this is {quoted(name)}")
            case "description":
                description = source.text(node, "description", problems, longest=2000, prose=True).strip()
            case "match":
                about = _match(node, problems)
            case "guards":
                guards = _guards(node, problems)
            case "enforcement":
                enforcement = source.choice(node, "enforcement", ENFORCEMENTS, problems)
            case "requirements":
                requirements = _requirements(node, problems)
            case "reviews":
                reviews = _reviews(node, problems)
            case "on_direct_change":
                on_direct_change = source.choice(node, "on_direct_change", DIRECT_CHANGES, problems)
            case "archive_replaced":
                archive_replaced = source.truth(node, "archive_replaced", problems)
            case "freeze":
                freeze = _freezes(node, problems)
            case "bypass":
                bypass = _bypass(node, problems)
    return Policy(
        name=name,
        description=description,
        match=about,
        guards=guards,
        requirements=requirements,
        enforcement=enforcement,
        reviews=reviews,
        on_direct_change=on_direct_change,
        archive_replaced=archive_replaced,
        freeze=freeze,
        bypass=bypass,
    )


def _match(node: yaml.Node, problems: Problems) -> Match:
    found = source.fields(node, "match", ("models", "tags"), problems, required=("models",))
    models: list[str] = []
    if "models" in found:
        listed_models = source.items(found["models"], "models", problems, example='["churn-*"]')
        models = [_glob(item, "a pattern of models", problems) for item in listed_models]
    tags = []
    if "tags" in found:
        entries = source.pairs(found["tags"], "tags", problems)
        if not entries and isinstance(found["tags"], yaml.MappingNode):
            problems.add(found["tags"], "tags must not be empty; leave it out to match whatever the tags")
        for _, key, value in entries:
            name = source.text(key, "a tag's key", problems, longest=250)
            wanted = source.text(value, f"the tag {quoted(name)}", problems, longest=5000)
            if "*" in wanted:
                problems.add(value, f"the tag {quoted(name)} is compared as it is written, * means nothing in it")
            tags.append((name, wanted))
    return Match(models=tuple(models), tags=tuple(tags))


def _glob(node: yaml.Node, what: str, problems: Problems) -> str:
    pattern = source.text(node, what, problems, longest=globs.LONGEST)
    if any(character in pattern for character in "[]{}"):
        problems.add(node, f"{what} knows only * and ?, brackets mean nothing in it; write ? where a name has one")
    return pattern


def _guards(node: yaml.Node, problems: Problems) -> tuple[Guard, ...]:
    found: list[Guard] = []
    for item in source.items(node, "guards", problems, example="[stage:Production, alias:champion]"):
        if isinstance(item, yaml.MappingNode):
            problems.add(item, "a guard is written without a space after the colon, as in stage:Production")
            continue
        text = source.text(item, "a guard", problems, longest=300)
        if not text:
            continue
        kind, colon, name = text.partition(":")
        if kind not in ("stage", "alias") or not colon:
            problems.add(item, f"a guard is stage:NAME or alias:NAME, this is {quoted(text)}")
        elif kind == "stage" and name not in STAGES:
            problems.add(item, f"the stage {quoted(name)} cannot be guarded{closest(name, STAGES)}")
        elif kind == "alias" and (len(name) > 255 or not _ALIAS.fullmatch(name)):
            problems.add(item, f"an alias may hold letters, digits, - and _ (and * and ? here), this is {quoted(name)}")
        elif Guard(kind, name) in found:
            problems.add(item, f"{text} is guarded twice")
        else:
            found.append(Guard(kind, name))
    return tuple(found)


def _requirements(node: yaml.Node, problems: Problems) -> tuple[Requirement, ...]:
    found: list[Requirement] = []
    known = tuple(RULES)
    for item in source.items(node, "requirements", problems, example="[approvals: {count: 1}]"):
        entries = source.pairs(item, "a requirement", problems)
        if isinstance(item, yaml.MappingNode) and len(item.value) != 1:
            problems.add(item, f"a requirement has exactly one key ({listed(known, 'or')}), this has {len(item.value)}")
            continue
        for kind, key, value in entries:
            if kind not in RULES:
                problems.add(key, f"unknown requirement {quoted(kind)}{closest(kind, known)}")
            else:
                before = len(problems.found)
                rule = RULES[kind](value, problems)
                if rule in found and len(problems.found) == before:
                    problems.add(key, "this requirement is given twice")
                found.append(rule)
    return tuple(found)


def _metric(node: yaml.Node, problems: Problems) -> MetricRule:
    known = ("name", "min", "max", "baseline", "dataset", *CHANGES)
    found = source.fields(node, "metric", known, problems, required=("name",))
    name = source.text(found["name"], "a metric's name", problems, longest=250) if "name" in found else ""
    dataset = source.text(found["dataset"], "dataset", problems, longest=500) if "dataset" in found else ""
    least = source.number(found["min"], "min", problems) if "min" in found else None
    most = source.number(found["max"], "max", problems) if "max" in found else None
    baseline = source.choice(found["baseline"], "baseline", BASELINES, problems) if "baseline" in found else "none"
    changes = tuple(
        Change(way, bound, percent, _size(found[key], key, bound, problems))
        for key, (way, bound, percent) in CHANGES.items()
        if key in found
    )
    if least and most and least.exact > most.exact:
        problems.add(found["min"], f"min ({least.text}) is above max ({most.text}): no value could be both")
    if changes and baseline == "none":
        first = next(key for key in CHANGES if key in found)
        problems.add(found[first], f"{first} needs something to compare with: add baseline: production")
    if baseline != "none" and not changes:
        problems.add(found["baseline"], f"a baseline needs a limit beside it: {listed(CHANGES, 'or')}")
    if isinstance(node, yaml.MappingNode) and not (least or most or changes) and baseline == "none":
        problems.add(node, f"this asks nothing of the metric: add {listed(('min', 'max', *CHANGES), 'or')}")
    return MetricRule(name=name, min=least, max=most, baseline=baseline, changes=changes, dataset=dataset)


def _size(node: yaml.Node, key: str, bound: str, problems: Problems) -> Number:
    # "At least 0" would let a value through that went the other way by nothing: mlflow refuses it as well.
    if bound == "min":
        return source.number(node, key, problems, above=0)
    return source.number(node, key, problems, least=0)


def _check(node: yaml.Node, problems: Problems) -> CheckRule:
    found = source.fields(node, "check", ("name", "from"), problems, required=("name", "from"))
    name = source.text(found["name"], "a check's name", problems, longest=250) if "name" in found else ""
    if name == SCAN:
        problems.add(
            found["name"], "the name scan is kept for people who vouch for files; call the check something else"
        )
    reporter = source.text(found["from"], "from", problems, longest=150) if "from" in found else ""
    return CheckRule(name=name, reporter=reporter)


def _description(node: yaml.Node, problems: Problems) -> DescriptionRule:
    found = source.fields(node, "description", ("min_length",), problems, required=("min_length",))
    if "min_length" not in found:
        return DescriptionRule(1)
    return DescriptionRule(source.whole(found["min_length"], "min_length", problems, least=1, most=5000))


def _signature(node: yaml.Node, problems: Problems) -> SignatureRule:
    found = source.fields(node, "signature", ("compatible_with",), problems, required=("compatible_with",))
    if "compatible_with" not in found:
        return SignatureRule(COMPARED_WITH[0])
    return SignatureRule(source.choice(found["compatible_with"], "compatible_with", COMPARED_WITH, problems))


def _tags(node: yaml.Node, problems: Problems) -> TagsRule:
    found: list[str] = []
    for item in source.items(node, "tags", problems, example="[owner, datasheet]"):
        key = source.text(item, "a tag's key", problems, longest=250)
        if key and key in found:
            problems.add(item, f"the tag {quoted(key)} is asked for twice")
        found.append(key)
    return TagsRule(tuple(found))


def _run(node: yaml.Node, problems: Problems) -> RunRule:
    known = ("finished", "commit", "datasets", "evaluated_like")
    found = source.fields(node, "run", known, problems)
    rule = RunRule(
        finished="finished" in found and source.truth(found["finished"], "finished", problems),
        commit=source.choice(found["commit"], "commit", COMMITS, problems) if "commit" in found else "",
        datasets="datasets" in found and source.truth(found["datasets"], "datasets", problems),
        evaluated_like=source.choice(found["evaluated_like"], "evaluated_like", COMPARED_WITH, problems)
        if "evaluated_like" in found
        else "",
    )
    if rule == RunRule() and isinstance(node, yaml.MappingNode):
        problems.add(node, f"this asks nothing of the run: add {listed(known, 'or')}")
    return rule


def _scan(node: yaml.Node, problems: Problems) -> ScanRule:
    """``clean``, or who may clear what could not be read: an empty mapping would leave open which is meant."""
    if isinstance(node, yaml.ScalarNode):
        source.choice(node, "scan", ("clean",), problems)
        return ScanRule()
    found = source.fields(node, "scan", ("vouched_by",), problems, required=("vouched_by",))
    if "vouched_by" not in found:
        return ScanRule()
    return ScanRule(source.text(found["vouched_by"], "vouched_by", problems, longest=100))


def _approvals(node: yaml.Node, problems: Problems) -> ApprovalsRule:
    found = source.fields(node, "approvals", ("count", "teams"), problems, required=("count",))
    count = source.whole(found["count"], "count", problems, least=1, most=100) if "count" in found else 1
    teams = []
    if "teams" in found:
        entries = source.pairs(found["teams"], "teams", problems)
        if not entries and isinstance(found["teams"], yaml.MappingNode):
            problems.add(found["teams"], "teams must not be empty; leave it out when the team does not matter")
        for _, key, value in entries:
            team = source.text(key, "a team's name", problems, longest=100)
            number = source.whole(value, f"the number for {quoted(team)}", problems, least=1, most=100)
            if "count" in found and number > count:
                problems.add(value, f"{number} approvals from {quoted(team)} are more than the count of {count}")
            teams.append((team, number))
    return ApprovalsRule(count=count, teams=tuple(teams))


RULES: dict[str, Callable[[yaml.Node, Problems], Requirement]] = {
    "metric": _metric,
    "check": _check,
    "description": _description,
    "signature": _signature,
    "tags": _tags,
    "run": _run,
    "scan": _scan,
    "approvals": _approvals,
}


def _reviews(node: yaml.Node, problems: Problems) -> Reviews:
    known = ("author_may_approve", "dismiss_on", "threads_resolved", "expires_after", "remind_after")
    found = source.fields(node, "reviews", known, problems)
    author_may_approve = threads_resolved = False
    dismiss_on = frozenset(PARTS)
    if "author_may_approve" in found:
        author_may_approve = source.truth(found["author_may_approve"], "author_may_approve", problems)
    if "dismiss_on" in found:
        dismiss_on = _dismiss_on(found["dismiss_on"], problems)
    if "threads_resolved" in found:
        threads_resolved = source.truth(found["threads_resolved"], "threads_resolved", problems)
    expires_after, remind_after = (
        source.duration(found[key], key, problems) if key in found else None
        for key in ("expires_after", "remind_after")
    )
    return Reviews(
        author_may_approve=author_may_approve,
        dismiss_on=dismiss_on,
        threads_resolved=threads_resolved,
        expires_after=expires_after,
        remind_after=remind_after,
    )


def _dismiss_on(node: yaml.Node, problems: Problems) -> frozenset[str]:
    """An empty list is fine: then nothing that moves takes an approval away."""
    if isinstance(node, yaml.SequenceNode) and not node.value:
        return frozenset()
    example = f"[{', '.join(PARTS)}]"
    return frozenset(
        source.choice(item, "dismiss_on", PARTS, problems)
        for item in source.items(node, "dismiss_on", problems, example=example)
    )


def _bypass(node: yaml.Node, problems: Problems) -> Bypass:
    found = source.fields(node, "bypass", ("teams", "people"), problems)
    if isinstance(node, yaml.MappingNode) and not node.value:
        problems.add(node, "bypass must not be empty; leave it out to let nobody bypass this")
    return Bypass(
        teams=_names(found["teams"], "teams", 100, "[on-call]", problems) if "teams" in found else (),
        people=_names(found["people"], "people", 150, "[alice]", problems) if "people" in found else (),
    )


def _names(node: yaml.Node, what: str, longest: int, example: str, problems: Problems) -> tuple[str, ...]:
    found: list[str] = []
    for item in source.items(node, what, problems, example=example):
        name = source.text(item, f"a name in {what}", problems, longest=longest)
        if name and name in found:
            problems.add(item, f"{quoted(name)} is named twice")
        found.append(name)
    return tuple(found)


def _freezes(node: yaml.Node, problems: Problems) -> tuple[Freeze, ...]:
    example = '[{from: 2026-12-20T00:00Z, until: 2027-01-04T08:00Z, reason: "Year-end"}]'
    found = source.items(node, "freeze", problems, example=example)
    if len(found) > MOST_FREEZES:
        problems.add(node, f"freeze has at most {MOST_FREEZES} windows, this has {len(found)}")
        return ()
    freezes = tuple(freeze for item in found if (freeze := _window(item, problems)))
    if leave_no_time(freezes):
        problems.add(node, "these windows leave no time in the week: nothing would ever move")
    return freezes


def _window(node: yaml.Node, problems: Problems) -> Freeze | None:
    found = source.fields(node, "a freeze", ("from", "until", "every", "reason"), problems, required=("reason",))
    reason = source.text(found["reason"], "reason", problems, longest=200) if "reason" in found else ""
    if "every" in found:
        for key in ("from", "until"):
            if key in found:
                problems.add(found[key], f"{key} stands inside every, where there is one")
        return _weekly(found["every"], reason, problems)
    if not isinstance(node, yaml.MappingNode):
        return None
    if "from" not in found or "until" not in found:
        problems.add(node, "a freeze needs from and until, or every")
        return None
    start, end = _moment(found["from"], "from", problems), _moment(found["until"], "until", problems)
    if start is None or end is None:
        return None
    if end <= start:
        problems.add(found["until"], "until must come after from")
        return None
    return Window(start, end, reason)


def _moment(node: yaml.Node, what: str, problems: Problems) -> datetime | None:
    """With its offset, so that nobody has to know where it was written."""
    value = source.text(node, what, problems, longest=40)
    try:
        if MOMENT.fullmatch(value):
            return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    if value:
        problems.add(node, f"{what} must be a moment such as 2026-12-20T00:00Z, this is {quoted(value)}")
    return None


def _weekly(node: yaml.Node, reason: str, problems: Problems) -> Freeze | None:
    found = source.fields(node, "every", ("from", "until", "zone"), problems, required=("from", "until"))
    zone = source.text(found["zone"], "zone", problems, longest=100) if "zone" in found else "UTC"
    if zone and zone not in _zones():
        problems.add(found["zone"], f"there is no time zone {quoted(zone)}{_closest_zone(zone)}")
        return None
    start, end = (_weekly_moment(found[key], key, problems) if key in found else None for key in ("from", "until"))
    if start is None or end is None or not zone:
        return None
    if start == end:
        problems.add(found["until"], "until must differ from from: nothing would ever move")
        return None
    return Weekly(start, end, zone, reason)


def _weekly_moment(node: yaml.Node, what: str, problems: Problems) -> timedelta | None:
    value = source.text(node, what, problems, longest=40)
    found = WEEKLY.fullmatch(value)
    if found:
        return timedelta(days=DAYS.index(found[1]), hours=int(found[2]), minutes=int(found[3]))
    if value:
        problems.add(node, f"{what} must be a day and a time such as Fri 16:00, this is {quoted(value)}")
    return None


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _closest_zone(zone: str) -> str:
    """Six hundred names are no hint, one that looks like it is."""
    hint = closest(zone, sorted(_zones()))
    return hint if "did you mean" in hint else ", as in Europe/Berlin"
