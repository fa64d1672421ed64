"""Jinja2 for the pages and the mails: Django's backend for it, and what every template has besides its own variables
(docs/decisions/templates-are-compiled.md)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from types import SimpleNamespace
from typing import Any

import jinja2
from django.http import HttpRequest
from django.template import TemplateDoesNotExist
from django.template.backends import jinja2 as backend
from django.template.backends.utils import csrf_input_lazy, csrf_token_lazy
from django.templatetags.static import static
from django.utils.safestring import SafeString, mark_safe
from django_htmx.jinja import htmx_script
from jinja2 import ChainableUndefined, Environment, FileSystemBytecodeCache, Template
from jinja2.bccache import Bucket

from core.addresses import address
from web.pages.components import COMPONENTS, component
from web.pages.filters import FILTERS
from web.pages.pieces import PIECES

_THIS = Path(__file__).read_text()  # with what it sets for the compiler


class Templates(backend.Jinja2):
    """``page.html#results`` is the block ``results`` of that template alone: what HTMX swaps in."""

    def get_template(self, template_name: str) -> Page:
        name, _, block = template_name.partition("#")
        template: Template = super().get_template(name).template
        if block and block not in template.blocks:
            raise TemplateDoesNotExist(template_name, backend=self)
        return Page(template, self, block)

    def load(self) -> None:
        """All of them, so that the first look at a page is as quick as the next."""
        for name in self.env.list_templates(extensions=["html", "txt"]):
            self.env.get_template(name)


class Page(backend.Template):
    """A template, or one block of it, with what the context processors know; a view's own variables come first."""

    def __init__(self, template: Template, engine: Templates, block: str) -> None:
        super().__init__(template, engine)
        self._block = block

    def render(self, context: Mapping[str, Any] | None = None, request: HttpRequest | None = None) -> SafeString:
        known: dict[str, Any] = {}
        if request is not None:
            known = {
                "request": request,
                "csrf_input": csrf_input_lazy(request),
                "csrf_token": csrf_token_lazy(request),
            }
            for processor in self.backend.template_context_processors:
                known |= processor(request)
        known |= context or {}
        if not self._block:
            return mark_safe(self.template.render(known))  # noqa: S308 - the template escapes
        try:
            parts = self.template.blocks[self._block](self.template.new_context(known))
            return mark_safe("".join(parts))  # noqa: S308
        except Exception:
            self.backend.env.handle_exception()  # raises it again, with the lines of templates


class Beside(FileSystemBytecodeCache):
    """What templates were compiled to, kept beside them as Python keeps its own. Each entry knows the text it is of and
    what compiled it, so none is ever stale; where the folder cannot be written to, each process compiles what it shows.
    """

    def get_source_checksum(self, source: str) -> str:
        return super().get_source_checksum(f"{jinja2.__version__} {_THIS} {source}")

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError, EOFError, UnpicklingError):  # not there, or damaged
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            Path(self.directory).mkdir(exist_ok=True)
            super().dump_bytecode(bucket)
            # An image is built by another user than the one who runs the server.
            Path(self._get_cache_filename(bucket)).chmod(0o644)


def environment(**options: Any) -> Environment:
    (folder,) = options["loader"].searchpath
    options |= {"undefined": ChainableUndefined, "bytecode_cache": Beside(f"{folder}/__pycache__")}
    made = Environment(**options)  # noqa: S701 - Django's backend sets autoescape
    made.globals |= {
        "component": component,
        "htmx_script": htmx_script,
        "static": static,
        "ui": SimpleNamespace(**PIECES, **COMPONENTS),
        "url": address,
    }
    made.filters |= FILTERS
    return made
