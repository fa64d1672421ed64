"""/api/v1/comments/, and the conversation below versions and requests: saying, editing, deleting, resolving."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import services
from approvals.models import Comment, TransitionRequest
from approvals.queries import get_comment
from registry.models import ModelVersion
from registry.queries import get_version
from web.api.endpoint import Endpoint, Input, PageInput, page_of, page_response, paged, read, user_of


class CommentInput(Input):
    text = serializers.CharField(help_text="Markdown. @name tells a person, or the members of a team.")
    thread = serializers.IntegerField(
        default=None,
        allow_null=True,
        min_value=1,
        max_value=2**63 - 1,
        help_text="The comment that this is a reply to.",
    )


class TextInput(Input):
    text = serializers.CharField()


class CommentOutput(serializers.Serializer):
    id = serializers.IntegerField()
    url = serializers.CharField(source="get_absolute_url", help_text="Its place on a page, from the root of the site.")
    request = serializers.IntegerField(source="request_id", allow_null=True, help_text="Null: it is on the version.")
    thread = serializers.IntegerField(source="parent_id", allow_null=True, help_text="Null: it begins a thread.")
    author = serializers.CharField(source="author.username")
    text = serializers.CharField(help_text="Empty once deleted.")
    created_at = serializers.DateTimeField()
    edited_at = serializers.DateTimeField(allow_null=True)
    deleted_at = serializers.DateTimeField(allow_null=True)
    resolved_at = serializers.DateTimeField(allow_null=True, help_text="Of a thread: when it was settled.")
    resolved_by = serializers.CharField(source="resolved_by.username", default=None, allow_null=True)


class RevisionOutput(serializers.Serializer):
    text = serializers.CharField()
    written_at = serializers.DateTimeField()


class CommentDetailOutput(CommentOutput):
    revisions = RevisionOutput(many=True, help_text="What it said before it was edited, the oldest first.")


def conversation(request: Request, version: ModelVersion, review_request: TransitionRequest | None = None) -> Response:
    """A page of what was said about a version or, if given, in one of its requests."""
    asked = read(PageInput, request)
    rows = Comment.objects.filter(version=version, request=review_request)
    page = page_of(rows.with_rows(), limit=asked["limit"], cursor=asked["cursor"])
    return page_response(CommentOutput(page.rows, many=True).data, page.next_cursor)


def add(request: Request, version: ModelVersion, review_request: TransitionRequest | None = None) -> Response:
    user, asked = user_of(request), read(CommentInput, request)
    parent = get_comment(user, asked["thread"]) if asked["thread"] else None
    comment = services.add_comment(
        actor=user, version=version, text=asked["text"], review_request=review_request, parent=parent
    )
    return Response(CommentOutput(comment).data, status=201)


def _detail(comment: Comment) -> Response:
    return Response(CommentDetailOutput(comment).data)


class VersionComments(Endpoint):
    @extend_schema(parameters=[PageInput], responses=paged(CommentOutput))
    def get(self, request: Request, name: str, number: int) -> Response:
        """What was said about a version outside its requests, the newest first."""
        return conversation(request, get_version(user_of(request), name, number))

    @extend_schema(request=CommentInput, responses={201: CommentOutput})
    def post(self, request: Request, name: str, number: int) -> Response:
        """Say something about a version."""
        return add(request, get_version(user_of(request), name, number))


class CommentDetail(Endpoint):
    @extend_schema(responses=CommentDetailOutput)
    def get(self, request: Request, pk: int) -> Response:
        """One comment with what it said before."""
        return _detail(get_comment(user_of(request), pk))

    @extend_schema(request=TextInput, responses=CommentDetailOutput)
    def patch(self, request: Request, pk: int) -> Response:
        """Say it in other words. For its author."""
        comment, asked = get_comment(user_of(request), pk), read(TextInput, request)
        return _detail(services.edit_comment(actor=user_of(request), comment=comment, **asked))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Erase its text and what it said before. For its author. What the events say of it stays."""
        services.delete_comment(actor=user_of(request), comment=get_comment(user_of(request), pk))
        return Response(status=204)


class CommentResolve(Endpoint):
    @extend_schema(request=None, responses=CommentOutput)
    def post(self, request: Request, pk: int) -> Response:
        """Settle the thread that begins with this comment."""
        thread = services.resolve_thread(actor=user_of(request), comment=get_comment(user_of(request), pk))
        return Response(CommentOutput(thread).data)


class CommentReopen(Endpoint):
    @extend_schema(request=None, responses=CommentOutput)
    def post(self, request: Request, pk: int) -> Response:
        """Open it again."""
        thread = services.reopen_thread(actor=user_of(request), comment=get_comment(user_of(request), pk))
        return Response(CommentOutput(thread).data)
