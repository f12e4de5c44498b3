"""What the gateway outlives and what it does not, and how it is started, renewed and refused."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import Any

import httpx

from supervisor.gateway.pages import FOLDER
from tests.e2e.gateway_client import SETTINGS, TICKS, Http, frames_of, output_of
from tests.harness import title_of, tree_of, wait_until


def test_the_gateway_is_killed_during_a_stream_and_nothing_is_missed(make_daemon: Any) -> None:
    daemon = make_daemon(settings=SETTINGS).start()
    http_ = Http(daemon)
    job = http_.submit(TICKS.replace("{n}", "100"))
    seen: list[dict[str, Any]] = []
    killed = 0
    while not seen or seen[-1]["event"] != "completed":
        last = max((frame["id"] for frame in seen if "id" in frame), default=0)
        place = f"?attempt=1&stdout={len(output_of(seen))}" if seen else ""
        try:
            with http_.client.stream(
                "GET", f"/jobs/{job}/events{place}", headers={"Last-Event-ID": str(last)}
            ) as answer:
                for frame in frames_of(answer.iter_lines()):
                    seen.append(frame)
                    if len(output_of(seen)) > 200 * (killed + 1) and killed < 3:
                        killed += 1
                        os.kill(daemon.pid_of("gateway"), signal.SIGKILL)
        except httpx.HTTPError:
            continue
    assert killed == 3
    assert output_of(seen) == b"".join(b"tick %d\n" % n for n in range(1, 101))
    ids = [frame["id"] for frame in seen if "id" in frame]
    assert ids == sorted(set(ids))
    wait_until(lambda: daemon.ask("status")["http"]["restarts"] == 3, saying="the third restart")
    assert http_.get(f"/jobs/{job}").json()["state"] == "completed"


def test_the_broker_is_killed_during_a_stream_and_its_reader_does_not_notice(make_daemon: Any) -> None:
    daemon = make_daemon(settings=SETTINGS).start()
    http_ = Http(daemon)
    job = http_.submit(TICKS.replace("{n}", "100"))
    frames = []
    killed = False
    with http_.client.stream("GET", f"/jobs/{job}/events") as answer:
        for frame in frames_of(answer.iter_lines()):
            frames.append(frame)
            if not killed and len(output_of(frames)) > 100:
                killed = True
                os.kill(daemon.pid_of("broker"), signal.SIGKILL)
                # Asked while there is none: the answer waits for the next one.
                assert http_.get(f"/jobs/{job}").status_code == 200
    assert killed
    assert output_of(frames) == b"".join(b"tick %d\n" % n for n in range(1, 101))
    ids = [frame["id"] for frame in frames if "id" in frame]
    assert ids == sorted(set(ids))
    assert frames[-1]["event"] == "completed"


def test_a_supervisor_that_is_killed_takes_the_gateway_with_it_and_the_next_one_serves_again(make_daemon: Any) -> None:
    daemon = make_daemon(settings=SETTINGS).start()
    token = Http(daemon).token
    gateway = daemon.pid_of("gateway")
    daemon.kill()
    wait_until(lambda: "gateway" not in title_of(gateway), 5, "the gateway's end")
    daemon.start()
    http_ = Http(daemon)
    assert http_.token == token
    assert http_.get("/jobs").status_code == 200


def test_an_upgrade_keeps_the_address(make_daemon: Any) -> None:
    daemon = make_daemon(settings=SETTINGS).start()
    http_ = Http(daemon)
    before = daemon.pid_of("gateway")
    assert daemon.ctl("upgrade").returncode == 0
    wait_until(lambda: daemon.ask("status")["http"]["pid"] not in (before, None), 20, "another gateway")
    assert http_.get("/health").status_code == 200
    assert daemon.ask("status")["http"]["url"].rstrip("/") == http_.url


def test_a_reload_gives_the_gateway_other_settings(make_daemon: Any) -> None:
    daemon = make_daemon(settings=SETTINGS).start()
    http_ = Http(daemon)
    assert http_.get("/health", headers={"Host": "box.example"}).status_code == 403
    daemon.settings.write_text(SETTINGS + 'hosts = ["box.example"]\n')
    assert daemon.ask("reload")["changed"] == ["http.hosts"]
    wait_until(lambda: _status_for(http_, "box.example") == 200, 10, "the new settings")
    daemon.settings.write_text(SETTINGS.replace("127.0.0.1:0", "127.0.0.1:1"))
    assert daemon.ask("reload")["needs_restart"] == ["http.listen"]


def _status_for(http_: Http, host: str) -> int:
    try:
        return http_.get("/health", headers={"Host": host}).status_code
    except httpx.HTTPError:
        return 0


def test_an_address_in_use_is_an_error_of_the_start(make_daemon: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        daemon = make_daemon(settings=f'[http]\nlisten = "127.0.0.1:{taken.getsockname()[1]}"\n')
        daemon.start(wait=False)
        assert daemon.process is not None and daemon.process.wait(30) == 2
        assert "http.listen" in daemon.words() and "in use" in daemon.words()


def test_without_its_extra_the_start_is_refused_with_the_command_that_cures_it(make_daemon: Any) -> None:
    daemon = make_daemon(settings=SETTINGS)
    folder = daemon.folder / "without"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys; sys.modules['starlette'] = None")
    daemon.environment["PYTHONPATH"] = str(folder)
    daemon.start(wait=False)
    assert daemon.process is not None and daemon.process.wait(30) == 2
    assert "pip install 'workerctl[http]'" in daemon.words()
    assert not daemon.state.exists(), "nothing was touched"


def test_a_gateway_that_hangs_is_replaced(make_daemon: Any) -> None:
    daemon = make_daemon(settings=f'hang_timeout = "1s"\n{SETTINGS}').start()
    http_ = Http(daemon)
    assert http_.get("/health").status_code == 200
    hung = daemon.pid_of("gateway")
    os.kill(hung, signal.SIGSTOP)
    wait_until(lambda: daemon.ask("status")["http"]["pid"] not in (hung, None), 30, "another gateway")
    assert http_.get("/health").status_code == 200


def test_without_http_there_is_no_gateway_and_no_token(make_daemon: Any) -> None:
    daemon = make_daemon().start()
    assert not any("gateway" in title for title in tree_of(daemon.pid).values())
    refused = daemon.ctl("token")
    assert (refused.returncode, refused.stdout) == (6, b"")
    assert b"http.listen" in refused.stderr


def test_connections_of_those_who_ask_nothing_keep_nobody_out(make_daemon: Any) -> None:
    http_ = Http(make_daemon(settings=SETTINGS).start())
    host, _, port = http_.url.removeprefix("http://").partition(":")
    with contextlib.ExitStack() as stack:
        for _ in range(530):
            stack.enter_context(socket.create_connection((host, int(port))))
        for _ in range(3):
            answer = httpx.get(
                f"{http_.url}/status", headers={"Authorization": f"Bearer {http_.token}"}, trust_env=False, timeout=20
            )
            assert answer.status_code == 200, answer.text


def test_too_many_requests_are_refused(make_daemon: Any) -> None:
    daemon = make_daemon(settings='[http]\nlisten = "127.0.0.1:0"\nrate = 5\n').start()
    http_ = Http(daemon)
    stranger = httpx.Client(base_url=http_.url, trust_env=False)
    assert {stranger.get("/jobs").status_code for _ in range(40)} == {401, 429}
    answers = [http_.get("/health") for _ in range(40)]
    assert answers[0].status_code == 200, "those who have no token use nothing up for those who have one"
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and len(refused) < 40
    assert refused[0].json()["code"] == "rate_limited"
    assert "retry-after" in refused[0].headers
    assert {stranger.get(f"/{path.name}").status_code for path in FOLDER.iterdir()} == {200}, "the page comes whole"
    wait_until(lambda: http_.get("/health").status_code == 200, 10, "more tokens")
