"""``make demo``: fill a running server with a believable story.

A team of six trains 5 models in 30 versions with the stock mlflow client, asks for Production, reviews, rejects and
approves, so that every page has something to show. Run it once, beside a fresh server.
"""

from __future__ import annotations

import logging

import mlflow

from demo.policies import CREDIT_GATE, PRODUCTION_GATE, STAGING_HINT
from demo.server import BASE_URL, Person, acting_as, apply_policy, manage
from demo.training import Attempt, Recipe, train_version

CHURN = Recipe(
    name="churn-predictor",
    experiment="churn",
    description="Who is about to leave, asked every night by billing and by the retention desk.",
    columns=("tenure_days", "monthly_charges", "support_calls", "last_login_days", "contract_months", "discount"),
    tags={"team": "growth", "tier": "critical"},
)
FRAUD = Recipe(
    name="fraud-detector",
    experiment="fraud",
    description="Scores every card payment before it is accepted.",
    columns=("amount", "country_risk", "merchant_risk", "card_age_days", "velocity_1h"),
    noise=0.01,
    tags={"team": "payments", "tier": "critical"},
)
CREDIT = Recipe(
    name="credit-risk",
    experiment="credit",
    description="The probability that a loan is not paid back. Regulated: see the model card in the wiki.",
    columns=("income", "debt_ratio", "age_of_account", "late_payments", "utilisation", "inquiries"),
    tags={"team": "lending", "regulated": "yes"},
)
DEMAND = Recipe(
    name="demand-forecast",
    experiment="demand",
    description="Units sold per shop and day, for the warehouse.",
    columns=("weekday", "promotion", "temperature", "price", "last_week"),
    task="regression",
    noise=0.05,
    tags={"team": "supply"},
)
TRIAGE = Recipe(
    name="support-triage",
    experiment="support",
    description="Which desk a support ticket goes to.",
    columns=("length", "sentiment", "urgency", "customer_value"),
    noise=0.06,
    tags={"team": "support"},
)
MONTHS = ("2026-05", "2026-06", "2026-07", "2026-08", "2026-09", "2026-10", "2026-11")
COMMITS = ("4be1c7d90a", "81f0aa23c4", "c09d4417be", "2f77e1b6d8", "9f2c1ab650", "e3d80c5f19", "07b94fa1c2")


def attempts(count: int, note: str, **changes: object) -> list[Attempt]:
    """``count`` monthly versions, each a little larger than the one before; ``changes`` are for the last one."""
    made = []
    for index in range(count):
        last = changes if index == count - 1 else {}
        params = {"n_estimators": 60 + 20 * index, "max_depth": 2 + index // 3, "learning_rate": 0.1}
        made.append(
            Attempt(
                month=MONTHS[-count + index],
                params=params,
                description=f"{note} Trained on the data of {MONTHS[-count + index]}.",
                commit=COMMITS[-count + index] * 4,
                rows=900 + 150 * index,
                **last,  # type: ignore[arg-type]
            )
        )
    return made


STORY = (
    (CHURN, attempts(7, "Monthly retraining with day-level tenure.", rename={"last_login_days": "last_seen_days"})),
    (FRAUD, attempts(7, "Velocity of the last hour as a feature.")),
    (CREDIT, attempts(6, "Reject inference as agreed with the regulator, monotone in income.")),
    (DEMAND, attempts(5, "Promotions of the next week are known to it.")),
    (TRIAGE, attempts(5, "New desk for returns.", noise=0.25)),
)


def people() -> dict[str, Person]:
    """The cast: mira asks, alice and dkim review, sam only watches, ci-bot reports."""
    for name in ("mira", "alice", "dkim", "sam", "nora"):
        manage("create_user", name, "--email", f"{name}@example.com")
    manage("create_user", "ci-bot", "--service")
    manage("team", "risk", "--add", "alice", "nora")
    manage("team", "ml-leads", "--add", "dkim")
    manage("grant", "MANAGE_STAGING_VERSIONS", "*", "--user", "mira")
    manage("grant", "MANAGE_PRODUCTION_VERSIONS", "*", "--team", "ml-leads")
    return {name: Person(name) for name in ("mira", "alice", "dkim", "sam", "nora", "ci-bot")}


def train(mira: Person) -> None:
    with acting_as(mira.token):
        client = mlflow.MlflowClient()
        for recipe, versions in STORY:
            client.create_registered_model(recipe.name, description=recipe.description, tags=recipe.tags)
            for index, attempt in enumerate(versions):
                number = train_version(recipe, attempt, seed=index)
                print(f"  {recipe.name} version {number} ({attempt.month})")


def promote(cast: dict[str, Person], model: str, version: str, why: str, *approvals: tuple[str, str]) -> None:
    number = cast["mira"].ask(model, version, "Production", why)
    for who, words in approvals:
        state = cast[who].review(number, "approve", words)
    print(f"  request {number}: {model} version {version} to Production is {state}")


def test(ci_bot: Person) -> None:
    """What a pipeline reports of the versions that will be asked for."""
    for model, versions in (("churn-predictor", (3, 5, 7)), ("fraud-detector", (4, 6))):
        for version in versions:
            ci_bot.report_check(model, version, "integration-tests", "passed", figure="41 of 41")


def decide(cast: dict[str, Person]) -> None:
    """History first, then what waits today."""
    mira, alice, dkim, sam = cast["mira"], cast["alice"], cast["dkim"], cast["sam"]
    pair = (("alice", "Fairness slices are inside tolerance."), ("dkim", "Latency and drift look fine."))
    promote(cast, "churn-predictor", "3", "First version with day-level tenure. Rollback: the rules of before.", *pair)
    promote(cast, "churn-predictor", "5", "Two more months of data, F1 up. Rollback is version 3, unchanged.", *pair)
    promote(cast, "fraud-detector", "4", "Catches the card-testing wave of August.", *pair)
    promote(
        cast, "credit-risk", "4", "Yearly recalibration.",
        ("alice", "Documented and within policy."), ("nora", "Second pair of eyes: agreed."),
    )  # fmt: skip
    with acting_as(mira.token):
        client = mlflow.MlflowClient()
        client.transition_model_version_stage("churn-predictor", "6", "Staging")
        client.transition_model_version_stage("fraud-detector", "6", "Staging")
        client.set_registered_model_alias("demand-forecast", "shadow", "5")
    with acting_as(dkim.token):
        client = mlflow.MlflowClient()
        client.transition_model_version_stage("demand-forecast", "4", "Production", archive_existing_versions=True)

    rejected = mira.ask("support-triage", "5", "Production", "The new desk is in. Accuracy is lower on old tickets.")
    dkim.review(rejected, "reject", "Accuracy fell too far. Train on tickets of all desks and ask again.")

    changes = mira.ask("fraud-detector", "6", "Production", "Velocity over one hour. Shadow traffic for 3 days.")
    alice.review(
        changes, "request_changes", "Please describe the new velocity feature, and let it shadow for a full week."
    )

    waiting = mira.ask(
        "churn-predictor", "7", "Production",
        "Retrained on November data; `last_login_days` is now `last_seen_days`. Shadow traffic was clean for 5 days. "
        "Rollback is version 5, unchanged.",
    )  # fmt: skip
    sam.say(waiting, "Do all callers send `last_seen_days` already?")
    alice.review(
        waiting, "approve", "Fairness slices are inside tolerance. Please confirm the callers before we flip it."
    )
    mira.say(waiting, "Confirmed: billing and the retention desk send it since Monday.")
    mira.call("POST", f"requests/{waiting}/reviewers/", person="nora")

    mira.ask("credit-risk", "6", "Production", "Autumn data; the monotone constraint is unchanged.")
    mira.ask("demand-forecast", "5", "Production", "Promotions of next week. Let us keep version 4 as the fallback.")
    withdrawn = mira.ask("fraud-detector", "5", "@champion", "For the canary.")
    mira.call("POST", f"requests/{withdrawn}/withdraw/", comment="Version 6 is the better canary.")


def deploy(cast: dict[str, Person]) -> None:
    """What runs where; the nightly batch was forgotten when version 5 took over."""
    places = (
        ("churn-predictor", 5, "eu-west", "running"),
        ("churn-predictor", 5, "us-east", "running"),
        ("churn-predictor", 6, "shadow", "running"),
        ("churn-predictor", 3, "batch-nightly", "running"),
        ("demand-forecast", 4, "warehouse", "deploying"),
    )
    for name, version, place, status in places:
        link = f"https://{place}.example.com/{name}"
        cast["mira"].call("PUT", f"models/{name}/deployments/{place}/", version=version, status=status, link=link)


def main() -> None:
    names = manage(
        "shell",
        "-v0",
        "-c",
        "from accounts.models import User; print(*User.objects.values_list('username', flat=True))",
    )
    if met := {"mira", "alice", "dkim"} & set(names.split()):
        raise SystemExit(f"This server knows {min(met)} already: start a fresh one with another DATA_DIR for the demo.")
    mlflow.set_tracking_uri(BASE_URL)
    for name in ("mlflow", "mlflow.utils.environment", "mlflow.tracking.fluent"):
        logging.getLogger(name).setLevel(logging.ERROR)
    print("People, teams and policies")
    cast = people()
    for text in (PRODUCTION_GATE, CREDIT_GATE, STAGING_HINT):
        apply_policy(text)
    print("Training 30 versions of 5 models")
    train(cast["mira"])
    test(cast["ci-bot"])
    print("Requests and reviews")
    decide(cast)
    deploy(cast)
    link = manage("sign_in_link", "dkim").splitlines()[-1]
    print(f"\nDone. Sign in as dkim, for whom a request waits: {link}")


if __name__ == "__main__":
    main()
