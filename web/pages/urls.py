"""The URL table of the pages: the noun in the URL is the module here, the template folder and the test file."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from web.pages import account, channels, deliveries, models, people, policies, requests, reviews, sign_in, versions

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="reviews"), name="home"),
    path("sign-in/", sign_in.SignIn.as_view(), name="sign_in"),
    path("sign-in/link/<str:secret>/", sign_in.sign_in_link, name="sign_in_link"),
    path("sign-out/", sign_in.SignOut.as_view(), name="sign_out"),
    path("reviews/", reviews.index, name="reviews"),
    path("models/", models.index, name="models"),
    path("models/<str:name>/", models.detail, name="model"),
    path("models/<str:name>/describe/", models.describe, name="model_describe"),
    path("models/<str:name>/versions/<int:number>/", versions.detail, name="version"),
    path("models/<str:name>/versions/<int:number>/describe/", versions.describe, name="version_describe"),
    path("models/<str:name>/versions/<int:number>/tag/", versions.set_tag, name="version_tag"),
    path("models/<str:name>/versions/<int:number>/tag/delete/", versions.delete_tag, name="version_tag_delete"),
    path("models/<str:name>/versions/<int:number>/comment/", versions.comment, name="version_comment"),
    path("models/<str:name>/versions/<int:number>/move/", versions.move, name="version_move"),
    path("models/<str:name>/versions/<int:number>/read-run/", versions.read_run, name="version_read_run"),
    path("models/<str:name>/versions/<int:number>/request/", versions.new_request, name="new_request"),
    path("models/<str:name>/versions/<int:number>/files/<path:path>", versions.download, name="version_file"),
    path("requests/<int:pk>/", requests.detail, name="request"),
    path("requests/<int:pk>/review/", requests.review, name="request_review"),
    path("requests/<int:pk>/comment/", requests.comment, name="request_comment"),
    path("requests/<int:pk>/withdraw/", requests.withdraw, name="request_withdraw"),
    path("requests/<int:pk>/ready/", requests.ready, name="request_ready"),
    path("requests/<int:pk>/schedule/", requests.reschedule, name="request_schedule"),
    path("policies/", policies.index, name="policies"),
    path("policies/new/", policies.edit, name="policy_new"),
    path("policies/<slug:name>/", policies.detail, name="policy"),
    path("policies/<slug:name>/edit/", policies.edit, name="policy_edit"),
    path("policies/<slug:name>/archive/", policies.archive, name="policy_archive"),
    path("channels/", channels.index, name="channels"),
    path("channels/new/", channels.create, name="channel_create"),
    path("channels/<int:pk>/", channels.detail, name="channel"),
    path("channels/<int:pk>/secret/", channels.make_secret, name="channel_secret"),
    path("channels/<int:pk>/delete/", channels.delete, name="channel_delete"),
    path("channels/<int:pk>/test/", channels.test, name="channel_test"),
    path("channels/<int:pk>/switch/", channels.switch, name="channel_switch"),
    path("people/", people.index, name="people"),
    path("people/new/", people.create, name="person_create"),
    path("people/<str:username>/switch/", people.switch, name="person_switch"),
    path("people/<str:username>/link/", people.sign_in_link, name="person_link"),
    path("teams/", people.create_team, name="team_create"),
    path("teams/<slug:name>/", people.change_team, name="team_change"),
    path("grants/", people.grant, name="grant_create"),
    path("grants/<int:pk>/revoke/", people.revoke_grant, name="grant_revoke"),
    path("deliveries/", deliveries.index, name="deliveries"),
    path("deliveries/<int:pk>/again/", deliveries.send_again, name="delivery_again"),
    path("account/", account.detail, name="account"),
    path("account/tokens/", account.create_token, name="token_create"),
    path("account/tokens/<int:pk>/revoke/", account.revoke_token, name="token_revoke"),
    # allauth reverses these names.
    path("account/password/", account.PasswordChange.as_view(), name="account_change_password"),
    path("account/password/set/", account.PasswordSet.as_view(), name="account_set_password"),
    path("account/login/", RedirectView.as_view(pattern_name="sign_in", query_string=True), name="account_login"),
    path("account/logout/", RedirectView.as_view(pattern_name="sign_out"), name="account_logout"),
]
