"""``rtreg ctl`` against a control server: what it sends, what it prints, what it makes of a refusal."""

import json
import threading

import pytest

from rtreg.cli import main
from rtreg.io.sockets import ControlServer


@pytest.fixture
def asked():
    """A control server that notes what it is asked; it refuses ``pause``. Yields (endpoint, requests)."""
    requests, stop = [], threading.Event()
    server = ControlServer("tcp://127.0.0.1:*")

    def serve():
        while not stop.is_set():
            request = server.poll(20)
            if request is None:
                continue
            requests.append({key: value for key, value in request.body.items() if key != "v"})
            if request.body["do"] == "pause":
                server.refuse(request, "not now")
            else:
                server.reply(request, {"walk": float("nan"), "loop": "closed"})
        server.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.endpoint, requests
    stop.set()
    thread.join()


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["close"], {"do": "close"}),
        (["set-reference"], {"do": "set_reference"}),
        (["dither", "0.5", "-0.25"], {"do": "dither", "dx": 0.5, "dy": -0.25}),
        (["retune", "gain=0.3", "max_sigma=0.2"], {"do": "retune", "gain": 0.3, "max_sigma": 0.2}),
        (["retune", "timeout_ms=3"], {"do": "retune", "timeout_ms": 3.0}),
        (["status"], {"do": "status"}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_orders_go_out_and_replies_are_json(capsys, asked, order, expected):
    endpoint, requests = asked
    assert main(["ctl", "--endpoint", endpoint, *order]) == 0
    assert requests == [expected]
    assert json.loads(capsys.readouterr().out) == {"ok": True, "walk": None, "loop": "closed"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["retune", "do=3"], "'do'"),
        (["retune", "v=2"], "'v'"),
        (["--timeout", "1e12", "status"], "1e12"),
        (["--timeout", "1e-9", "status"], "1e-9"),
    ],
)
def test_what_cannot_be_sent_is_one_line(capsys, asked, arguments, named):
    endpoint, requests = asked
    assert main(["ctl", "--endpoint", endpoint, *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, requests) == ("", [])
    assert named in err
    assert err.count("\n") == 1


def test_a_refusal_is_one_line_with_its_reason(capsys, asked):
    endpoint, _ = asked
    assert main(["ctl", "--endpoint", endpoint, "pause"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "rtreg ctl: the tracker refuses pause: not now\n"
