"""Take a picture of every page: desktop light, desktop dark and phone.

    make screenshots                                  # a server of its own, filled with the story of the demo
    make screenshots BASE_URL=http://127.0.0.1:8080   # a running one, beside its DATA_DIR or DATABASE_URL
    .venv/bin/python scripts/screenshots.py --images docs/images     # and those that README and docs show

Which pages there are is read from their URL table: a new page is in the folder the day it is added. Every complaint of
a browser's console (a break of the content security policy, a script that fails) ends it with an error.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
FORMS = {"desktop-light": (1320, 900, "light"), "desktop-dark": (1320, 900, "dark"), "phone": (390, 844, "light")}
FOR_STRANGERS = {"sign_in"}
VIEWER = "dkim"  # for whom a request waits in the story


def _replay(page: Page) -> None:
    """A draft that asks for more is tried on the past."""
    text = page.locator("#text")
    text.fill(text.input_value().replace("min: 0.90", "min: 0.97").replace("max_drop: 0.03", "max_drop: 0.001"))
    page.locator("#edits-title").wait_for()
    page.get_by_role("button", name="Replay", exact=True).click()
    page.locator("#replayed-title").wait_for()


@dataclass(frozen=True)
class Image:
    """One of docs/images: of which page (or path), how much of it in pixels (0: the whole) or which region alone, who
    looks ("" is who looks at every page), and what is done before."""

    page: str
    height: int = 0
    form: str = "desktop-light"
    region: str = ""
    viewer: str = ""
    prepare: Callable[[Page], None] | None = None


IMAGES = {
    "review": Image("request"),
    "inbox": Image("reviews", 800),
    "model": Image("model", 1500),
    "policy": Image("policy", 1000),
    "phone": Image("request", 1250, form="phone"),
    "replay": Image("/policies/production-gate/edit/", region=".area-try", viewer="admin", prepare=_replay),
    "compare": Image("compare", 940),
    "lineage": Image("/models/churn-predictor/versions/5/lineage/", 640),
    "deliveries": Image("deliveries", 760),
}


@dataclass(frozen=True)
class Site:
    """A running server, and where its database is (``environment``), for a sign-in link."""

    url: str
    environment: dict[str, str]
    viewer: str


def main() -> None:
    options = _options()
    folder = Path(options.folder)
    with _running(options.base_url, options.user) if options.base_url else _own() as site, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        visit = Visit(browser, site)
        pages = {name: path for name, path in visit.pages().items() if re.search(options.only, name)}
        for form in FORMS:
            visit.shoot(pages, folder / form, form)
        if options.images:
            visit.illustrate(pages, Path(options.images))
    print(f"{len(pages)} pages, {len(FORMS)} pictures of each, in {folder}/")
    if visit.complaints:
        sys.exit("The console complained:\n" + "\n".join(visit.complaints))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", default=os.environ.get("BASE_URL"), help="of a running server")
    parser.add_argument("--user", default="admin", help="who looks at the pages of a running server")
    parser.add_argument("--folder", default=os.environ.get("FOLDER") or "screenshots")
    parser.add_argument("--images", help="a folder for the pictures of the documentation")
    parser.add_argument("--only", default="", help="a regular expression: only pages whose name it is found in")
    return parser.parse_args()


@contextmanager
def _own() -> Iterator[Site]:
    """A fresh server in a folder of its own, in which the story has been told."""
    from tests.servers import Server

    with tempfile.TemporaryDirectory(prefix="countersign-screenshots-") as folder:
        server = Server(Path(folder))
        try:
            server.wait_ready()
            environment = {"DATA_DIR": folder, "MLFLOW_TRACKING_URI": server.url, "MLFLOW_TRACKING_TOKEN": server.token}
            _run(["-m", "demo.story"], environment)
            yield Site(server.url, environment, VIEWER)
        finally:
            server.stop()


@contextmanager
def _running(url: str, viewer: str) -> Iterator[Site]:
    yield Site(url, {}, viewer)


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed.\n{done.stdout[-2000:]}")
    return done.stdout


class Visit:
    """Somebody's tour of the pages."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self.browser, self.site = browser, site
        self.complaints: list[str] = []
        self.states = {site.viewer: self._signed_in(site.viewer)}

    def _signed_in(self, name: str) -> Any:
        """The state of a browser in which they have followed their link."""
        link = re.search(r"/sign-in/link/\S+", _run(["manage.py", "sign_in_link", name], self.site.environment))
        assert link, "no sign-in link"
        context = self.browser.new_context(base_url=self.site.url)
        page = context.new_page()
        page.goto(link[0])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/reviews/")
        state = context.storage_state()
        context.close()
        return state

    def pages(self) -> dict[str, str]:
        """Name of the picture -> path: every route that answers a GET with a page, and some pages in other states."""
        from django.urls import reverse

        from web.pages.urls import urlpatterns

        context = self._context("desktop-light")
        given = self._arguments(context.new_page())
        found = {}
        for route in urlpatterns:
            known = given | given.get(str(route.name).partition("_")[0], {})
            if set(route.pattern.converters) <= set(known):
                path = reverse(route.name, kwargs={name: known[name] for name in route.pattern.converters})
                if route.name in FOR_STRANGERS or self._is_page(context, path):
                    found[route.name] = path
        context.close()
        inbox = reverse("reviews")
        found |= {f"reviews-{tab}": f"{inbox}?tab={tab}" for tab in ("mine", "open", "decided")}
        return found | given["more"] | {"not-found": "/models/there-is-no-such-model/"}

    def _is_page(self, context: BrowserContext, path: str) -> bool:
        answer = context.request.get(path, max_redirects=0)
        return answer.status == 200 and answer.headers.get("content-type", "").startswith("text/html")

    def _arguments(self, page: Page) -> dict[str, Any]:
        """What the routes are filled in with: found by following the links of the pages, so it needs no certain data.
        Under the first word of a route's name what its routes take otherwise; under "more" further pages."""
        inbox = self._links(page, "/reviews/", "/requests/") or self._links(page, "/reviews/?tab=open", "/requests/")
        request = self._with_most_to_show(page, inbox[:10])
        version = next(link for link in self._links(page, request, "/models/") if "/versions/" in link)
        _, _, name, _, number, *_ = version.split("/")
        policy = self._links(page, "/policies/", "/policies/")
        given: dict[str, Any] = {
            "name": name, "number": int(number), "pk": int(request.split("/")[2]), "username": self.site.viewer,
            "policy": {"name": next(link for link in policy if "/new/" not in link).split("/")[2]}, "more": {},
        }  # fmt: skip
        if channel := [link for link in self._links(page, "/channels/", "/channels/") if "/new/" not in link]:
            given["channel"] = {"pk": int(channel[0].split("/")[2])}
        if run := self._links(page, version, "/runs/"):
            given["run"] = {"run_id": run[0].split("/")[2]}
        if decided := self._links(page, "/reviews/?tab=decided", "/requests/"):
            given["more"]["request-decided"] = decided[0]
        return given

    def _with_most_to_show(self, page: Page, links: list[str]) -> str:
        sizes = {}
        for link in links:
            page.goto(link)
            sizes[link] = len(page.locator("main").inner_text())
        return max(sizes, key=sizes.__getitem__)

    def _links(self, page: Page, path: str, prefix: str) -> list[str]:
        """The links below ``prefix`` in the content of a page, in their order."""
        page.goto(path)
        found = page.eval_on_selector_all("main a[href]", "links => links.map(link => link.getAttribute('href'))")
        return [link for link in dict.fromkeys(found) if link.startswith(prefix) and link != prefix]

    def _context(self, form: str, *, signed_in: bool = True, viewer: str = "") -> BrowserContext:
        (width, height, scheme), name = FORMS[form], viewer or self.site.viewer
        if name not in self.states:
            self.states[name] = self._signed_in(name)
        return self.browser.new_context(
            base_url=self.site.url,
            storage_state=self.states[name] if signed_in else None,
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
        )

    def _open(self, context: BrowserContext, path: str) -> Page:
        page = context.new_page()
        page.on("console", lambda message: self._hear(path, message.type, message.text))
        page.on("pageerror", lambda error: self._hear(path, "error", str(error)))
        page.goto(path)
        return page

    def _hear(self, path: str, kind: str, text: str) -> None:
        if kind in ("error", "warning") and "the server responded with a status of 4" not in text:
            self.complaints.append(f"{path}: {text}")

    def shoot(self, pages: dict[str, str], folder: Path, form: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for signed_in in (False, True):
            context = self._context(form, signed_in=signed_in)
            for name, path in pages.items():
                if (name not in FOR_STRANGERS) == signed_in:
                    page = self._open(context, path)
                    page.screenshot(path=folder / f"{name}.png", full_page=True)
                    page.close()
            context.close()

    def illustrate(self, pages: dict[str, str], folder: Path) -> None:
        """The pictures of the documentation."""
        for name, image in IMAGES.items():
            path = image.page if image.page.startswith("/") else pages.get(image.page)
            if path is None:  # left out by --only
                continue
            context = self._context(image.form, viewer=image.viewer)
            page = self._open(context, path)
            if image.prepare:
                image.prepare(page)
            if image.height:
                page.set_viewport_size({"width": FORMS[image.form][0], "height": image.height})
            page.wait_for_load_state("networkidle")
            shown: Any = page.locator(image.region) if image.region else page
            shown.screenshot(path=folder / f"{name}.png", **({} if image.region else {"full_page": not image.height}))
            context.close()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    main()
