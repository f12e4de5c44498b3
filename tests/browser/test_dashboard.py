"""The dashboard as people meet it: a real daemon, its gateway, and a browser that clicks, types and reads."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
from collections.abc import Iterator

import pytest

from tests.browser.busy_hour import Sums, write_busy_hour
from tests.browser.chromium import WITHIN_S, Browser, require_chromium, running_browser
from tests.harness import Daemon, running_daemon, wait_until

pytest.importorskip("uvicorn", reason="the gateway needs the extra `http`")

SETTINGS = '[http]\nlisten = "127.0.0.1:0"\nrate = "none"\nheartbeat = "500ms"\n'
PICTURES = os.environ.get("WORKERCTL_SCREENSHOTS")
KEY = {"tab": "\ue004", "enter": "\ue007", "escape": "\ue00c"}

# Fails the first time, after a while in which it can be watched; completes the second time.
TWICE = """
const first = process.env.JOB_ATTEMPT === "1"
let n = 0
const timer = setInterval(() => {
  n += 1
  console.log(`\\x1b[32mstep\\x1b[0m ${n} of attempt ${process.env.JOB_ATTEMPT}`)
  process.send({ type: "progress", percentage: first ? n * 2 : 100, stage: "stepping" })
  if (n === 3) console.error("\\x1b[1;31mcareful\\x1b[0m")
  if (n === (first ? 50 : 5)) {
    clearInterval(timer)
    if (first) process.exit(3)
    process.send({ type: "result", value: { steps: n } }, () => process.disconnect())
  }
}, 50)
"""

# Keeps 100 MiB and the CPU busy, until it is told that it was seen.
BUSY = """
const kept = Buffer.alloc(100 << 20, 1)
console.log("x".repeat(2047))
const until = Date.now() + 300_000
const burn = () => {
  const pause = Date.now() + 40
  while (Date.now() < pause);
  if (Date.now() < until) setTimeout(burn, 10)
}
burn()
"""

HOSTILE_NAME = "<img src=x onerror=window.pwned=1><script>window.pwned=1</script>"
HOSTILE = """
const lines = [
  "<script>window.pwned = 1</script><img src=x onerror='window.pwned=1'>",
  "\\x1b[31mred\\x1b[0m \\x1b[38;2;1;2;3mtrue\\x1b[0m \\x1b[48;5;200mwide\\x1b[0m &amp; plain",
  "\\x1b]0;a title\\x07\\x1b]8;;javascript:window.pwned=1\\x07a link\\x1b]8;;\\x07",
  "\\x1b[2J\\x1b[1;1Hno cursor moves",
  "bell \\x07 null \\x00 delete \\x7f c1 \\x9b31m",
  "admin \\u202etxt.exe",
  "10 %\\r20 %\\r100 %",
  "\\x1b[31",
  "still here",
]
for (const line of lines) console.log(line)
console.error("</div></div><style>body{display:none}</style>")
console.log("x".repeat(5000))
"""
SHOWN = [
    "<script>window.pwned = 1</script><img src=x onerror='window.pwned=1'>",
    "red true wide &amp; plain",
    "a link",
    "no cursor moves",
    "bell \u2407 null \u2400 delete \u2421 c1 <U+009B>31m",
    "admin <U+202E>txt.exe",
    "100 %",
    "",
    "still here",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    require_chromium()
    return tmp_path_factory.mktemp("dashboard") / "d"


@pytest.fixture(scope="module")
def hour(folder: pathlib.Path) -> Sums:
    return write_busy_hour(folder / "state" / "queue.db")


@pytest.fixture(scope="module")
def daemon(folder: pathlib.Path, hour: Sums) -> Iterator[Daemon]:
    with running_daemon(folder, SETTINGS) as running:
        wait_until(lambda: running.ask("status")["http"]["state"] == "running", WITHIN_S, "the gateway")
        yield running
        # What still runs would hold up the end of the daemon.
        for job in running.ask("list", "--state", "running"):
            running.ctl("cancel", str(job["id"]), check=True)


@pytest.fixture(scope="module")
def doors(daemon: Daemon) -> dict[str, dict[str, str]]:
    """What `workerctl token` says of each role."""
    return {role: json.loads(daemon.ctl("token", "--role", role, "--json").stdout) for role in ("read", "write")}


@pytest.fixture
def page(daemon: Daemon, doors: dict[str, dict[str, str]], browser: Browser) -> Iterator[Page]:
    browser.size(1280, 900)
    browser.scheme("light")
    shown = Page(daemon, doors, browser)
    yield shown
    assert browser.run("return window.pwned") is None
    assert browser.complaints() == []


class Page:
    """The dashboard of a daemon in a browser."""

    def __init__(self, daemon: Daemon, doors: dict[str, dict[str, str]], browser: Browser) -> None:
        self.daemon = daemon
        self.browser = browser
        self.tokens = {role: door["token"] for role, door in doors.items()}
        self.url = doors["write"]["url"].rstrip("/")

    def enter(self, role: str = "write") -> Browser:
        """With the token in the address, as `workerctl token --url` prints it."""
        self.browser.open(f"{self.url}/#token={self.tokens[role]}")
        self.browser.sees("live", "#link")
        return self.browser

    def go(self, route: str) -> Browser:
        """To a place of the page, as a link does."""
        self.browser.run("location.hash = arguments[0]", route)
        return self.browser

    def open_job(self, job: int) -> Browser:
        self.enter()
        self.go(f"#/jobs/{job}")
        self.browser.sees(f"Job {job}", "h1")
        return self.browser

    @contextlib.contextmanager
    def held_back(self) -> Iterator[None]:
        """Jobs of the queue `held` begin only when the page is ready to see it."""
        self.daemon.ctl("pause", "held", check=True)
        yield
        self.daemon.ctl("resume", "held", check=True)

    def listen(self) -> None:
        """Keeps what is said to those who listen instead of looking, however short it is there."""
        self.browser.run("""const said = document.getElementById("said");
            window.told = [];
            new MutationObserver(() => told.push(said.textContent)).observe(said, { childList: true })""")

    def told(self) -> list[str]:
        """What was said since."""
        return list(self.browser.run("return told"))

    def submit(self, code: str, *options: str, name: str = "job.js") -> int:
        done = self.daemon.ctl(
            "submit", "--type", "node", "--name", name, *options, "-", stdin=code.encode(), check=True
        )
        return int(done.stdout.split()[0])


# Who may look


def test_without_a_token_it_asks_and_holds_no_data(page: Page) -> None:
    browser = page.browser
    browser.open(page.url + "/")
    browser.forget()
    browser.open(page.url + "/")
    browser.sees("shows nothing without it", "#why")
    assert "scripts/1" not in browser.driver.page_source
    browser.press("not-the-token", KEY["enter"])
    browser.sees("This token is wrong", "#why")
    assert browser.run("return sessionStorage.length") == 0
    browser.press(page.tokens["write"], KEY["enter"])
    browser.sees("scripts/1", ".workers")


def test_the_token_of_the_address_leaves_the_address_and_stays_in_the_tab(page: Page) -> None:
    browser = page.browser
    browser.open(page.daemon.ctl("token", "--url").stdout.decode().strip())
    browser.sees("live", "#link")
    assert browser.run("return location.href") == f"{page.url}/#/"
    token = page.tokens["write"]
    assert token not in browser.driver.page_source
    browser.driver.refresh()
    browser.sees("live", "#link")
    browser.click("#forget")
    browser.shows(".prompt")
    assert browser.run("return sessionStorage.length + localStorage.length + document.cookie.length") == 0


def test_a_token_that_may_only_look_has_no_buttons(page: Page) -> None:
    job = page.submit("setTimeout(() => {}, 600000)", "--delay", "1h", name="later.js")
    browser = page.enter("read")
    browser.sees("read only", "#role")
    page.go(f"#/jobs/{job}")
    browser.sees("scheduled", ".standing")
    assert not browser.visible(".actions button")
    page.open_job(job)
    browser.shows(".actions button")
    assert not browser.visible("#role")


# What is seen


def test_the_overview_tells_the_last_hour_at_a_glance(page: Page, hour: Sums) -> None:
    page.daemon.ctl("pause", "mail", check=True)
    waiting = page.submit("1", "--queue", "mail", name="newsletter.js")
    browser = page.enter()
    browser.sees(f"at most {hour.deepest}", ".charts")
    browser.sees(f"{hour.failed} failed", ".charts")
    pictures = browser.run("return [...document.querySelectorAll('svg')].map((one) => one.getAttribute('aria-label'))")
    assert f"at most {hour.deepest}, at " in pictures[0]
    assert f"{hour.completed} completed, {hour.failed} failed; at most 8 in a minute." in pictures[1]
    browser.sees("memory limit", ".reasons")
    browser.sees("The queue mail is paused")
    browser.sees("paused", ".queues")
    page.daemon.ctl("resume", "mail", check=True)
    wait_until(lambda: "is paused" not in browser.text("#notices"), WITHIN_S, "the notice to be gone")
    page.daemon.ctl("wait", str(waiting))


def test_jobs_are_found_by_state_queue_and_text(page: Page) -> None:
    browser = page.enter()
    page.go("#/?state=failed")
    wait_until(lambda: set(states(browser)) == {"failed"}, WITHIN_S, "failed jobs alone")
    browser.click("input[type=search]")
    browser.press("memory_lim")
    wait_until(lambda: reasons(browser) == {"memory limit"}, WITHIN_S, "those of one reason")
    assert browser.run("return location.hash") == "#/?state=failed&text=memory_lim"
    browser.press(KEY["escape"])
    wait_until(lambda: len(reasons(browser)) > 1, WITHIN_S, "all reasons")
    page.go("#/?queue=images")
    wait_until(lambda: cells(browser, 4) == {"images"}, WITHIN_S, "one queue alone")


def states(browser: Browser) -> set[str]:
    return cells(browser, 2)


def reasons(browser: Browser) -> set[str]:
    return cells(browser, 3)


def cells(browser: Browser, column: int) -> set[str]:
    script = (
        "return [...document.querySelectorAll('.of-jobs tbody tr')].map((row) => row.cells[arguments[0]].textContent)"
    )
    return set(browser.run(script, column))


# A job's life


def test_a_job_is_seen_to_run_to_fail_to_be_retried_and_to_complete(page: Page) -> None:
    browser = page.enter()
    with page.held_back():
        job = page.submit(TWICE, "--queue", "held", name="in-two-goes.js")
        # Without a reload; and the way to it is its link.
        browser.sees("in-two-goes.js", ".jobs")
        browser.click(f"a[href='#/jobs/{job}']")
        browser.sees("queued", ".standing")
        browser.sees("is paused", ".sentences")
        page.listen()
    browser.sees("step 3 of attempt 1", ".output")
    browser.sees("careful", ".line.stderr")
    browser.sees("stepping", ".progress")
    assert browser.run("return document.querySelector('.line.stdout span').className") == "inked fg2"

    browser.sees("failed", ".standing")
    browser.sees("exit 3", ".standing")
    browser.sees("exited with code 3", ".sentences")
    assert browser.lines() == [f"step {n} of attempt 1" for n in range(1, 51)]
    assert page.told()[-2:] == [f"Job {job} is running", f"Job {job} is failed: exit 3"]

    browser.click(".actions button:not([hidden])")
    browser.sees("completed", ".standing")
    browser.sees("step 5 of attempt 2", ".output")
    assert browser.lines()[50:] == [f"step {n} of attempt 2" for n in range(1, 6)]
    browser.sees('"steps": 5', ".side pre")
    wait_until(lambda: len(browser.run("return [...document.querySelectorAll('[aria-label=Attempts] tbody tr')]")) == 2)
    assert "Retry" in browser.text(".actions") and "Cancel" not in browser.text(".actions")
    # Opened afterwards, it shows the last attempt as a whole.
    browser.driver.refresh()
    browser.sees("step 5 of attempt 2", ".output")
    assert browser.lines() == [f"step {n} of attempt 2" for n in range(1, 6)]


def test_what_a_running_job_uses_is_seen_against_its_limits(page: Page) -> None:
    job = page.submit(BUSY, "--memory", "400M", "--cpu", "90s", name="busy.js")
    browser = page.enter("read")
    count_requests(browser)
    page.go(f"#/jobs/{job}")
    wait_until(lambda: 100 <= used(browser, "Memory") <= 400, WITHIN_S, "its memory now")
    assert browser.run(LIMIT, "Memory").endswith(" MiB of 400 MiB")
    assert browser.run(LIMIT, "CPU").endswith(" of 1 min 30 s")
    assert browser.run(LIMIT, "Output") == "2 KiB of 16 MiB"
    seen = used(browser, "CPU")
    wait_until(lambda: used(browser, "CPU") > seen, WITHIN_S, "more CPU time")
    browser.lacks(".actions button")

    # Nobody looks: nothing is asked. Somebody looks again: it goes on.
    hide(browser, True)
    assert asks_no_more(browser)
    seen = used(browser, "CPU")
    hide(browser, False)
    wait_until(lambda: used(browser, "CPU") > seen, WITHIN_S, "more CPU time once it is looked at again")

    page.listen()
    os.kill(page.daemon.pid_of("gateway"), signal.SIGKILL)
    wait_until(lambda: "Connected again" in page.told(), WITHIN_S, "the page to be live again")
    os.kill(page.daemon.pid_of("broker"), signal.SIGKILL)
    assert page.daemon.ask("show", str(job))["state"] == "running"
    seen = used(browser, "CPU")
    wait_until(lambda: used(browser, "CPU") > seen, WITHIN_S, "more CPU time after the losses")

    page.daemon.ctl("cancel", str(job), check=True)
    browser.sees("cancelled", ".standing")
    attempt = page.daemon.ask("show", str(job))["attempts"][0]
    peak = pytest.approx(attempt["peak_memory_bytes"] / 2**20, abs=1)
    wait_until(lambda: used(browser, "Memory, peak") == peak, WITHIN_S, "its peak")
    assert used(browser, "CPU") == pytest.approx(attempt["cpu_s"], abs=1)
    assert asks_no_more(browser)


LIMIT = """
const row = [...document.querySelectorAll(".limit")].find((one) => one.querySelector(".what").textContent === arguments[0]);
return row ? row.querySelector(".number").textContent : ""
"""


def used(browser: Browser, name: str) -> float:
    """The number in a row of `Limits and use`, in seconds or MiB; 0 where only the limit is known."""
    said = re.match(r"([0-9.]+) (ms|s|MiB) of ", browser.run(LIMIT, name))
    return 0 if said is None else float(said[1]) / (1000 if said[2] == "ms" else 1)


def count_requests(browser: Browser) -> None:
    """Keeps when the page asks for the workers."""
    browser.run("""const fetched = window.fetch;
        window.asked = 0;
        window.fetch = (path, ...rest) => (path === "/workers" && (window.asked += 1), fetched(path, ...rest))""")


def asks_no_more(browser: Browser) -> bool:
    """Whether it does not ask in half as long again as the pause between two askings."""
    then_ms, asked = browser.run("return [performance.now(), asked]")
    wait_until(lambda: browser.run("return performance.now()") > then_ms + 3000, WITHIN_S, "time to pass")
    return bool(browser.run("return asked") == asked)


def hide(browser: Browser, hidden: bool) -> None:
    """As if the tab were covered by another, or seen again."""
    browser.run(
        "Object.defineProperty(document, 'hidden', { value: arguments[0], configurable: true });"
        "document.dispatchEvent(new Event('visibilitychange'))",
        hidden,
    )


def test_artifacts_and_output_are_saved_as_they_are(page: Page, tmp_path: pathlib.Path) -> None:
    name = "r\u00e9sum\u00e9 <b> %41.txt"
    job = page.submit(
        f"require('fs').writeFileSync(process.env.JOB_OUTPUT_DIR + '/' + {json.dumps(name)}, 'a\\0b');"
        "process.stdout.write('no line end')"
    )
    page.daemon.ctl("wait", str(job))
    browser = page.open_job(job)
    browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.sees(name, ".files")
    browser.click(".files button")
    wait_until(lambda: saved(tmp_path) == [b"a\0b"], WITHIN_S, "the artifact")
    browser.click(".tools > button")
    wait_until(lambda: saved(tmp_path) == [b"a\0b", b"no line end"], WITHIN_S, "the output")


def saved(folder: pathlib.Path) -> list[bytes]:
    """What the browser has saved, without what it is still writing."""
    return sorted(path.read_bytes() for path in folder.iterdir() if path.suffix in (".txt", ".stdout"))


def test_by_keyboard_alone(page: Page) -> None:
    job = page.submit("setInterval(() => {}, 1000)", name="endless.js")
    browser = page.enter()
    browser.press(KEY["tab"])
    assert browser.focused() == "Skip to content"
    browser.press(KEY["enter"])
    assert browser.focused() == "main"
    browser.press("/")
    assert browser.focused().startswith("Filter by name")
    browser.press(str(job), KEY["enter"])
    browser.sees("running", ".standing")
    browser.press(KEY["tab"])
    assert browser.focused() == "Overview"
    browser.press(KEY["tab"])
    assert browser.focused() == "Cancel job"
    assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press(KEY["enter"])
    browser.shows("dialog[open]")
    browser.press(KEY["escape"])
    browser.lacks("dialog[open]")
    assert browser.focused() == "Cancel job"
    assert page.daemon.ask("show", str(job))["state"] == "running"
    browser.press(KEY["enter"], "not needed", KEY["enter"])
    browser.sees("cancelled", ".standing")
    browser.sees("not needed", ".facts")
    assert page.daemon.ask("show", str(job))["cancel_reason"] == "not needed"


# What jobs may not do to it


def test_names_and_output_are_text_whatever_they_hold(page: Page) -> None:
    job = page.submit(HOSTILE, name=HOSTILE_NAME)
    page.daemon.ctl("wait", str(job))
    browser = page.enter()
    browser.sees(HOSTILE_NAME, ".jobs")
    page.open_job(job)
    browser.sees(HOSTILE_NAME, "h1")
    wait_until(lambda: len(browser.lines()) > len(SHOWN), WITHIN_S, "the output")
    lines = browser.lines()
    assert lines[: len(SHOWN)] == SHOWN
    assert [len(line) for line in lines[len(SHOWN) :]] == [2000, 2000, 1000]
    assert browser.lines("stderr") == ["</div></div><style>body{display:none}</style>"]
    assert not browser.run(
        "return document.querySelectorAll('main :is(img, script, style, a[href^=javascript])').length"
    )
    colours = "return [...document.querySelectorAll('.line span')].map((one) => getComputedStyle(one).color)"
    assert "rgb(1, 2, 3)" in browser.run(colours)
    assert "a title" not in browser.run("return document.title")


def test_of_long_output_the_end_is_kept(page: Page) -> None:
    job = page.submit("for (let n = 1; n <= 6000; n += 1) console.log('line', n)", name="talkative.js")
    page.daemon.ctl("wait", str(job))
    browser = page.open_job(job)
    browser.sees("2,000 earlier lines are not shown", ".note")
    assert browser.lines() == [f"line {n}" for n in range(2001, 6001)]
    assert browser.run("const one = document.querySelector('.output'); return one.scrollTop") > 0


def test_nothing_comes_from_elsewhere_and_no_script_is_inline(page: Page) -> None:
    browser = page.enter()
    loaded = browser.run("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert loaded and all(one.startswith(page.url + "/") for one in loaded)
    browser.run(
        "const one = document.createElement('script'); one.textContent = 'window.pwned = 1'; document.body.append(one)"
    )
    assert browser.run("return window.pwned") is None
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())


# What it survives


def test_a_killed_gateway_and_a_killed_broker_leave_no_gap_and_no_repeat(page: Page) -> None:
    code = "let n = 0; const t = setInterval(() => { console.log('line', ++n); if (n === 400) clearInterval(t) }, 10)"
    with page.held_back():
        job = page.submit(code, "--queue", "held", name="through-it-all.js")
        browser = page.open_job(job)
        browser.sees("live", "#link")
        page.listen()
    browser.sees("line 20", ".output")
    os.kill(page.daemon.pid_of("gateway"), signal.SIGKILL)
    wait_until(lambda: "Connected again" in page.told(), WITHIN_S, "the page to be live again")
    os.kill(page.daemon.pid_of("broker"), signal.SIGKILL)
    browser.sees("completed", ".standing")
    assert browser.lines() == [f"line {n}" for n in range(1, 401)]
    assert "Connection lost, reconnecting" in page.told()
    # The overview is right after it, too.
    page.go("#/")
    os.kill(page.daemon.pid_of("gateway"), signal.SIGKILL)
    after = page.submit("1", name="after-the-loss.js")
    browser.sees("after-the-loss.js", ".jobs")
    page.daemon.ctl("wait", str(after))
    browser.sees("live", "#link")


# How it looks


@pytest.mark.parametrize("width", [320, 768])
def test_on_a_narrow_screen_nothing_needs_scrolling_sideways(page: Page, width: int) -> None:
    name = "a-name-that-is-much-longer-than-the-screen-is-wide" * 3
    job = page.submit("console.log('x'.repeat(400))", "--queue", "q" * 64, name=name)
    page.daemon.ctl("wait", str(job))
    browser = page.browser
    browser.size(width, 700)
    page.enter()
    browser.sees("a-name", ".jobs")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    page.open_job(job)
    browser.sees("xxx", ".output")
    assert browser.run("return document.documentElement.scrollWidth") <= width


def test_it_is_light_or_dark_as_the_reader_likes(page: Page) -> None:
    browser = page.enter()
    for scheme in ("light", "dark"):
        browser.scheme(scheme)
        low = browser.run(CONTRASTS)
        assert low == [], f"hard to read in {scheme}: {low}"
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 27)"


def test_what_is_printed_on_a_light_ground_can_be_read(page: Page) -> None:
    code = """for (const ground of ["47", "107", "7;47", "48;5;255", "48;2;250;240;200"]) {
        console.log(`\\x1b[${ground}m on ${ground} \\x1b[0m`)
    }"""
    job = page.submit(code)
    page.daemon.ctl("wait", str(job))
    browser = page.open_job(job)
    browser.sees("250;240;200", ".output")
    assert browser.run(CONTRASTS) == []


def test_of_many_paused_queues_the_first_are_named(page: Page) -> None:
    for number in range(12):
        page.daemon.ctl("pause", f"many-{number:02}", check=True)
    browser = page.enter()
    browser.sees("many-04 and 7 others are paused", "#notices")
    assert "–" not in browser.text(".queues")
    for number in range(12):
        page.daemon.ctl("resume", f"many-{number:02}", check=True)


CONTRASTS = """
const channel = (n) => (n /= 255) <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4;
const light = (text) => {
  const [r, g, b] = text.match(/[0-9.]+/g).map(Number);
  return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
};
const ground = (one) => {
  for (; one; one = one.parentElement) {
    const found = getComputedStyle(one).backgroundColor;
    if (!found.startsWith("rgba") && found !== "transparent") return found;
  }
  return "rgb(255, 255, 255)";
};
const texts = [...document.querySelectorAll("body *")].filter(
  (one) => one.checkVisibility() && !one.disabled && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
return texts.map((one) => {
  const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((x, y) => y - x);
  return [(a + 0.05) / (b + 0.05), one.className || one.tagName, one.textContent.slice(0, 30)];
}).filter(([ratio]) => ratio < 4.5);
"""


@pytest.mark.skipif(not PICTURES, reason="pictures are made where WORKERCTL_SCREENSHOTS names a folder")
def test_pictures_of_it(page: Page) -> None:
    folder = pathlib.Path(PICTURES or "")
    folder.mkdir(parents=True, exist_ok=True)
    page.daemon.ctl("pause", "mail", check=True)
    page.submit("1", "--queue", "mail", name="newsletter.js")
    page.submit("1", "--delay", "2h", name="nightly-report.js")
    page.submit("setTimeout(() => {}, 600000)", "--queue", "images", name="encode-video.js")
    job = page.submit(PICTURED, "--timeout", "10m", name="reindex.js")
    for n in range(5):
        page.submit("1", "--queue", "images", name=f"thumbnails-{n}.js")
    browser = page.browser
    browser.size(1280, 860)
    page.enter()
    browser.sees("reindex.js", ".jobs")
    browser.sees("6", ".figures .queued")
    browser.sees("6 queued now", ".charts")
    browser.picture(folder / "dashboard-overview.png")
    browser.scheme("dark")
    page.open_job(job)
    browser.sees("shard 26 ", ".output")
    browser.sees("running 65 %", ".standing")
    browser.sees("65 %, indexing", ".sentences")
    browser.picture(folder / "dashboard-job.png")


PICTURED = """
const dim = (text) => `\\x1b[2m${text}\\x1b[0m`
const two = (n) => String(n).padStart(2)
console.log("\\x1b[1mreindex\\x1b[0m  40 shards, 48,210 documents")
process.send({ type: "progress", percentage: 0, stage: "indexing", message: "shard 1 of 40" })
let n = 0
const index = () => {
  n += 1
  const size = 1100 + (n * 7919) % 400
  console.log(`${dim(String(n * 48).padStart(5) + " ms")}  \\x1b[32mok\\x1b[0m    shard ${two(n)}  \\x1b[36m${size}\\x1b[0m documents`)
  if (n % 9 === 0) console.error(`          \\x1b[33mwarn\\x1b[0m  shard ${two(n)}: 3 documents have no language`)
  process.send({ type: "progress", percentage: n * 2.5, stage: "indexing", message: `shard ${n} of 40` })
  if (n < 26) setTimeout(index, n % 9 ? 48 : 200)
}
setTimeout(index, 2500)
setTimeout(() => {}, 600000)
"""
