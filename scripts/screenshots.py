"""Take a picture of every page of a running server: desktop light, desktop dark and phone.

    make screenshots                                  # BASE_URL, DATA_DIR and FOLDER as for make run
    .venv/bin/python scripts/screenshots.py --link http://…/sign-in/link/…/ --folder screenshots

Without --link it makes one for the user named by --user, in the database that DATA_DIR or DATABASE_URL names. Which
model, version and requests are shown is found by following the pages' own links, so it needs no particular data.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FORMS = {"desktop-light": (1320, 900, "light"), "desktop-dark": (1320, 900, "dark"), "phone": (390, 844, "light")}


def main() -> None:
    options = _options()
    folder = Path(options.folder)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        state = _sign_in(browser, options)
        pages = {"sign-in": "/sign-in/"} if options.only is None else {}
        pages |= _pages(browser, options.base_url, state, model=options.model)
        if options.only:
            pages = {name: path for name, path in pages.items() if re.search(options.only, name)}
        for form in FORMS:
            _shoot(browser, options.base_url, state, pages, folder / form, form)
    print(f"{len(pages)} pages, {len(FORMS)} pictures of each, in {folder}/")


def _options() -> argparse.Namespace:
    port = os.environ.get("PORT") or "8080"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", default=os.environ.get("BASE_URL") or f"http://127.0.0.1:{port}")
    parser.add_argument("--folder", default=os.environ.get("FOLDER") or "screenshots")
    parser.add_argument("--user", default="admin", help="who looks at the pages")
    parser.add_argument("--link", help="a sign-in link of theirs")
    parser.add_argument("--model", help="the model to show; else the first one with an open request")
    parser.add_argument("--only", help="a regular expression: only pages whose name it is found in")
    return parser.parse_args()


def _sign_in(browser: Browser, options: argparse.Namespace) -> dict:
    link = options.link or _new_link(options.user)
    context = browser.new_context()
    page = context.new_page()
    page.goto(re.sub(r"^https?://[^/]+", options.base_url, link))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/reviews/")
    state = context.storage_state()
    context.close()
    return state


def _new_link(username: str) -> str:
    command = [sys.executable, str(ROOT / "manage.py"), "sign_in_link", username]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return re.search(r"\S*/sign-in/link/\S+", said)[0]  # type: ignore[index]


def _pages(browser: Browser, base_url: str, state: dict, *, model: str | None) -> dict[str, str]:
    """Name of the picture -> path of the page."""
    context = browser.new_context(storage_state=state, base_url=base_url)
    page = context.new_page()
    pages = {
        "reviews": "/reviews/",
        "reviews-mine": "/reviews/?tab=mine",
        "reviews-open": "/reviews/?tab=open",
        "reviews-decided": "/reviews/?tab=decided",
        "models": "/models/",
        "policies": "/policies/",
        "policy-new": "/policies/new/",
        "channels": "/channels/",
        "people": "/people/",
        "deliveries": "/deliveries/",
        "account": "/account/",
        "password": "/account/password/",
        "not-found": "/models/there-is-no-such-model/",
    }
    requests = _links(page, "/reviews/", "/requests/") or _links(page, "/reviews/?tab=open", "/requests/")
    if requests:
        pages["request"] = requests[0]
        found = [link for link in _links(page, requests[0], "/models/") if "/versions/" not in link]
        pages["model"] = found[0] if found else ""
    for link in _links(page, "/reviews/?tab=decided", "/requests/")[:1]:
        pages["request-decided"] = link
    if model or not pages.get("model"):
        links = _links(page, f"/models/?q={model or ''}", "/models/")
        pages["model"] = next((link for link in links if not link.endswith("/models/")), "")
    if pages["model"]:
        versions = [link for link in _links(page, pages["model"], "/models/") if re.search(r"/versions/\d+/$", link)]
        for link in versions[:1]:
            pages |= {"version": link, "request-new": f"{link}request/"}
    for link in [link for link in _links(page, "/policies/", "/policies/") if not link.endswith("/new/")][:1]:
        pages |= {"policy": link, "policy-edit": f"{link}edit/"}
    context.close()
    return {name: path for name, path in pages.items() if path}


def _links(page: Page, path: str, prefix: str) -> list[str]:
    """The links below ``prefix`` in the content of a page, in their order."""
    page.goto(path)
    found = page.eval_on_selector_all("main a[href]", "links => links.map(link => link.getAttribute('href'))")
    return [link for link in dict.fromkeys(found) if link.startswith(prefix) and link != prefix]


def _shoot(browser: Browser, base_url: str, state: dict, pages: dict[str, str], folder: Path, form: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    width, height, scheme = FORMS[form]
    for signed_in in (False, True):
        context = browser.new_context(
            base_url=base_url,
            storage_state=state if signed_in else None,
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
        )
        page = context.new_page()
        for name, path in pages.items():
            if (name != "sign-in") == signed_in:
                page.goto(path)
                page.screenshot(path=folder / f"{name}.png", full_page=True)
        context.close()


if __name__ == "__main__":
    main()
