"""Look at the built documentation in a headless browser: `make docs-check`.

Every page is opened at 1280 and at 400 pixels. A page passes if it does not scroll sideways, all of
its pictures are loaded, nothing failed in its console, and every link within the site leads to a
page and a place that exist. `--pictures FOLDER` also stores what the browser shows. Chromium is
driven by its own chromedriver through the WebDriver protocol, so nothing else has to be installed;
without the two programs the check is skipped, and says so.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

SITE = Path(__file__).parent / "_build" / "html"
WIDTHS = (1280, 400)
_HEIGHT = 900
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip
#: Asked of every page. Elements that are wider than the window and do not scroll in a frame of
#: their own are named, so that the cause is known.
_ASK = """
const width = document.documentElement.clientWidth;
const inFrame = e => { for (let p = e.parentElement; p; p = p.parentElement)
  if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(p).overflowX)) return true;
  return false; };
const wide = document.documentElement.scrollWidth > width ? [...document.body.querySelectorAll('*')]
  .filter(e => e.getBoundingClientRect().right > width + 1 && !inFrame(e))
  .slice(0, 3).map(e => e.tagName.toLowerCase() + '.' + e.className + ' ' +
    e.textContent.trim().slice(0, 40)) : [];
const images = [...document.images];
images.forEach(i => i.loading = 'eager');
return {
  over: document.documentElement.scrollWidth - width, wide,
  missing: images.filter(i => !(i.complete && i.naturalWidth)).map(i => i.src),
  unnamed: images.filter(i => !i.hasAttribute('alt')).map(i => i.src),
  links: [...document.querySelectorAll('a[href]')].map(a => a.href),
  ids: [...document.querySelectorAll('[id]')].map(e => e.id),
  height: document.documentElement.scrollHeight,
};
"""


class Browser:
    """A page of a headless Chromium."""

    def __init__(self, port: int, profile: str, chromium: str) -> None:
        self.base = f"http://127.0.0.1:{port}/session"
        options = {"binary": chromium, "args": [*_FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._call("", {"capabilities": {"alwaysMatch": wanted}})
        self.base += f"/{made['sessionId']}"

    def _call(self, path: str, body: dict[str, Any] | None, method: str = "POST") -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def _devtools(self, command: str, **params: object) -> Any:
        return self._call("/goog/cdp/execute", {"cmd": command, "params": params})

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window, in pixels of the page."""
        self._devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    def open(self, address: str) -> None:
        """Go to a page, and wait until it is loaded."""
        self._call("/url", {"url": address})

    def ask(self, script: str) -> Any:
        """Return what a script finds in the page."""
        return self._call("/execute/sync", {"script": script, "args": []})

    def complaints(self) -> list[str]:
        """Errors of the console since it was last asked."""
        entries = self._call("/se/log", {"type": "browser"})
        return [str(entry["message"]) for entry in entries if entry["level"] == "SEVERE"]

    def picture(self) -> bytes:
        """What is seen, as png."""
        return base64.b64decode(self._call("/screenshot", None, "GET"))

    def close(self) -> None:
        """End the browser."""
        self._call("", None, "DELETE")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def browser(chromium: str, driver: str) -> Iterator[Browser]:
    """Run a browser, and end it and its driver afterwards."""
    port = _free_port()
    command = [driver, f"--port={port}"]
    with tempfile.TemporaryDirectory() as profile:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield from _session(port, profile, chromium)
        finally:
            process.terminate()
            process.wait()


def _session(port: int, profile: str, chromium: str) -> Iterator[Browser]:
    """Wait for the driver, open a browser, close it."""
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    page = Browser(port, profile, chromium)
    try:
        yield page
    finally:
        page.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Print nothing for each request."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder to this machine, and yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def look(page: Browser, address: str, name: str, pictures: Path | None) -> tuple[list[str], Any]:
    """Faults of one page at all widths, and what was found at the last."""
    faults: list[str] = []
    found: Any = {}
    for width in WIDTHS:
        page.resize(width, _HEIGHT)
        page.open(address + name)
        found = page.ask(_ASK)
        if found["missing"]:  # those that wait until they are scrolled to
            time.sleep(0.5)
            found = page.ask(_ASK)
        if found["over"] > 0:
            faults.append(f"{name} at {width}: {found['over']} px too wide: {found['wide']}")
        faults += [f"{name} at {width}: not loaded: {source}" for source in found["missing"]]
        faults += [f"{name} at {width}: {text}" for text in page.complaints()]
        if pictures:
            page.resize(width, min(found["height"], 16_000))
            file = pictures / f"{name.replace('/', '_').removesuffix('.html')}_{width}.png"
            file.write_bytes(page.picture())
    faults += [f"{name}: no text for readers who cannot see {src}" for src in found["unnamed"]]
    return faults, found


def broken(address: str, pages: dict[str, Any]) -> list[str]:
    """Links within the site that lead to no page, or to no place on it."""
    faults: list[str] = []
    for name, found in pages.items():
        for link in sorted(set(found["links"])):
            if not link.startswith(address):
                continue
            target, place = urldefrag(link.removeprefix(address))
            target = unquote(target) or "index.html"
            if target not in pages and not (SITE / target).is_file():
                faults.append(f"{name}: no page {target}")
            elif place and target in pages and unquote(place) not in pages[target]["ids"]:
                faults.append(f"{name}: no place #{unquote(place)} on {target}")
    return faults


def check(names: list[str], pictures: Path | None) -> list[str]:
    """All faults of the pages."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    faults: list[str] = []
    pages: dict[str, Any] = {}
    with served(SITE) as address, browser(str(programs[0]), str(programs[1])) as page:
        for name in names:
            some, pages[name] = look(page, address, name, pictures)
            faults += some
        return faults + broken(address, pages)


def main() -> int:
    """Check the site; 0 where nothing is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", help="names of pages; all of them by default")
    parser.add_argument("--pictures", type=Path, help="folder for what the browser shows")
    asked = parser.parse_args()
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        print("docs-check: skipped, because chromium and chromedriver are not installed")
        return 0
    if asked.pictures:
        asked.pictures.mkdir(parents=True, exist_ok=True)
    every = sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html"))
    names = asked.pages or [name for name in every if not name.startswith("_")]
    if not names:
        print(f"docs-check: no pages in {SITE}; run `make docs` first")
        return 1
    started = time.monotonic()
    faults = check(names, asked.pictures)
    print(*faults, sep="\n", end="\n" if faults else "")
    spent = time.monotonic() - started
    print(f"docs-check: {len(names)} pages at {WIDTHS} px, {len(faults)} faults, {spent:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
