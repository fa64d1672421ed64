"""The demo's policies, as a risk officer would write them."""

PRODUCTION_GATE = """\
name: production-gate
description: What every customer-facing model must show before it serves.
match:
  models: ["churn-*", "fraud-*"]
guards: [stage:Production, alias:champion]
requirements:
  - metric: {name: accuracy, min: 0.90}
  - metric: {name: f1, min: 0.88}
  - metric: {name: auc, baseline: production, max_drop: 0.03}
  - metric: {name: latency_p95_ms, max: 60}
  - check: {name: integration-tests, from: ci-bot}
  - scan: {vouched_by: risk}
  - approvals: {count: 2, teams: {risk: 1, ml-leads: 1}}
reviews:
  author_may_approve: false
archive_replaced: true
"""

CREDIT_GATE = """\
name: credit-gate
description: Credit decisions are regulated, so two people of risk look at them.
match:
  models: ["credit-*"]
guards: [stage:Production]
requirements:
  - metric: {name: auc, min: 0.90}
  - description: {min_length: 40}
  - approvals: {count: 2, teams: {risk: 2}}
on_direct_change: open_request
"""

STAGING_HINT = """\
name: staging-hint
description: Says so, without stopping anybody, when a model goes to Staging with too little accuracy.
match:
  models: ["*"]
guards: [stage:Staging]
enforcement: warn
requirements:
  - metric: {name: accuracy, min: 0.80}
"""
