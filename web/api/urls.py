"""The URL table of our own API: the noun in the URL is the module here and the test file."""

from __future__ import annotations

from django.urls import path

from web.api import account, channels, checks, deliveries, events, models, people, policies, requests, schema, versions

urlpatterns = [
    path("schema/", schema.schema, name="api_schema"),
    path("docs/", schema.docs, name="api_docs"),
    path("models/", models.Models.as_view()),
    path("models/<str:name>/", models.Model.as_view()),
    path("models/<str:name>/tags/", models.ModelTags.as_view()),
    path("models/<str:name>/aliases/", models.ModelAliases.as_view()),
    path("models/<str:name>/versions/", versions.Versions.as_view()),
    path("models/<str:name>/versions/<int:number>/", versions.Version.as_view()),
    path("models/<str:name>/versions/<int:number>/tags/", versions.VersionTags.as_view()),
    path("models/<str:name>/versions/<int:number>/checks/", checks.Checks.as_view()),
    # The shorter path that pipelines use; the reference names the other one.
    path("versions/<str:name>/<int:number>/checks/", checks.Checks.as_view(schema=None)),
    path("models/<str:name>/versions/<int:number>/move/", versions.VersionMove.as_view()),
    path("models/<str:name>/versions/<int:number>/read-run/", versions.VersionReadRun.as_view()),
    path("requests/", requests.Requests.as_view()),
    path("requests/<int:pk>/", requests.RequestDetail.as_view()),
    path("requests/<int:pk>/reviews/", requests.RequestReviews.as_view()),
    path("requests/<int:pk>/withdraw/", requests.RequestWithdraw.as_view()),
    path("requests/<int:pk>/ready/", requests.RequestReady.as_view()),
    path("requests/<int:pk>/schedule/", requests.RequestSchedule.as_view()),
    path("requests/<int:pk>/comments/", requests.RequestComments.as_view()),
    path("policies/", policies.Policies.as_view()),
    path("policies/check/", policies.PolicyCheck.as_view()),
    path("policies/replay/", policies.PolicyReplay.as_view()),
    path("policies/schema/", policies.PolicySchema.as_view()),
    path("policies/simulate/", policies.PolicySimulate.as_view()),
    path("policies/<slug:name>/", policies.PolicyDetail.as_view()),
    path("policies/<slug:name>/archive/", policies.PolicyArchive.as_view()),
    path("me/", account.Me.as_view()),
    path("tokens/", account.Tokens.as_view()),
    path("tokens/<int:pk>/", account.TokenDetail.as_view()),
    path("users/", people.Users.as_view()),
    path("users/<str:username>/", people.UserDetail.as_view()),
    path("teams/", people.Teams.as_view()),
    path("teams/<slug:name>/members/<str:username>/", people.TeamMember.as_view()),
    path("grants/", people.Grants.as_view()),
    path("grants/<int:pk>/", people.GrantDetail.as_view()),
    path("events/", events.Events.as_view()),
    path("deliveries/", deliveries.Deliveries.as_view()),
    path("deliveries/<int:pk>/again/", deliveries.DeliveryAgain.as_view()),
    path("channels/", channels.Channels.as_view()),
    path("channels/<int:pk>/", channels.ChannelDetail.as_view()),
    path("channels/<int:pk>/secret/", channels.ChannelSecret.as_view()),
    path("channels/<int:pk>/test/", channels.ChannelTest.as_view()),
]
