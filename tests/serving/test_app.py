"""The protocol as its public client and others speak it: answers, streams, faults, bounds."""

from __future__ import annotations

import ctypes
import gc
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai
import psutil
import pytest

from infinito.config import ServeConf
from infinito.models.trained import Trained
from tests.serving.conftest import build_served, post, serving

Serve = Callable[..., str]
HI: list[Any] = [{"role": "user", "content": "has he"}]


def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=60)


def test_the_public_client_gets_whole_and_streamed_answers(serve: Serve) -> None:
    with client(serve()) as asking:
        assert [model.id for model in asking.models.list()] == ["tiny"]
        whole = asking.chat.completions.create(model="tiny", messages=HI)
        (choice,) = whole.choices
        assert choice.finish_reason == "length"
        assert whole.usage is not None
        assert whole.usage.prompt_tokens == len("Human: has he\nAssistant:")
        assert whole.usage.completion_tokens == 12
        chunks = list(
            asking.chat.completions.create(
                model="tiny", messages=HI, stream=True, stream_options={"include_usage": True}
            )
        )
        told = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert told == choice.message.content
        assert chunks[-1].usage == whole.usage
        assert chunks[-2].choices[0].finish_reason == "length"
        with pytest.raises(openai.NotFoundError, match="there is no model `other`; there is tiny"):
            asking.chat.completions.create(model="other", messages=HI)
        with pytest.raises(openai.BadRequestError, match="not supported by this server"):
            asking.chat.completions.create(model="tiny", messages=HI, extra_body={"beams": 4})


def test_requests_say_how_answers_are_drawn(serve: Serve) -> None:
    address = serve()

    def told(**body: Any) -> str:
        return post(address, **body).json()["choices"][0]["message"]["content"]

    warm = {"temperature": 2.0, "max_tokens": 30}
    assert told(**warm, seed=1) == told(**warm, seed=1) != told(**warm, seed=2)
    greedy = told(max_completion_tokens=30)
    assert len(greedy) >= 20
    assert told(max_tokens=30, stop=greedy[5:7]) == greedy[: greedy.index(greedy[5:7])].rstrip()
    parts = [{"type": "text", "text": "has "}, {"type": "text", "text": "he"}]
    assert told(messages=[{"role": "user", "content": parts}], max_tokens=30) == greedy


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages.0.role"),
        ({"messages": [*HI, {"role": "assistant", "content": "a"}]}, "last message must be the"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0"),
        ({"messages": [{"role": "user", "content": "\ud83d"}]}, "not UTF-8 at character 1"),
        ({"messages": [{"role": "user", "content": "a" * 600}]}, "holds 512 together"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "3"}, "max_tokens"),
        ({"max_tokens": 5000}, "serve.max_tokens"),
        ({"max_tokens": 3, "max_completion_tokens": 3}, "give one of"),
        ({"temperature": -1}, "temperature"),
        ({"n": 2}, "n: "),
        ({"frequency_penalty": 0.5}, "repetition_penalty"),
        ({"logprobs": True}, "logprobs"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"reasoning_effort": "high"}, "reasoning_effort: is not supported by this server"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_what_it_does_not_read_it_refuses(refusing: str, body: dict[str, Any], said: str) -> None:
    whole = json.dumps({"model": "tiny", "messages": HI, **body})
    headers = {"Content-Type": "application/json"}
    found = httpx2.post(f"{refusing}/v1/chat/completions", content=whole, headers=headers)
    assert found.status_code == 400
    error = found.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert said in error["message"]


@pytest.fixture(scope="module")
def refusing(talker: Callable[..., Trained]) -> Iterator[str]:
    """A server that all refused requests share."""
    with serving(build_served(talker(max_position_embeddings=512)), conf=ServeConf()) as address:
        yield address


def test_other_faults_have_the_same_shape(serve: Serve) -> None:
    address = serve(max_body=2000)
    place = f"{address}/v1/chat/completions"
    json_type = {"Content-Type": "application/json"}
    found = {
        400: httpx2.post(place, content="{", headers=json_type),
        404: httpx2.get(f"{address}/nothing"),
        405: httpx2.get(place),
        413: httpx2.post(place, content="x" * 2001, headers=json_type),
        403: httpx2.get(f"{address}/", headers={"Host": "evil.example"}),
        415: httpx2.post(place, content="{}", headers={"Content-Type": "text/plain"}),
    }
    for status, answer in found.items():
        assert answer.status_code == status
        assert answer.json()["error"]["message"]
    assert "Content-Type is text/plain: send" in found[415].json()["error"]["message"]
    assert "names another host" in found[403].json()["error"]["message"]
    assert "no JSON" in found[400].json()["error"]["message"]
    assert "serve.max_body" in found[413].json()["error"]["message"]


def test_a_full_queue_answers_429(serve: Serve) -> None:
    address = serve(batch=1, queue=0, max_tokens=400)
    with ThreadPoolExecutor(4) as threads:
        found = [
            each.result()
            for each in [threads.submit(post, address, max_tokens=400) for _ in range(4)]
        ]
    turned = [each for each in found if each.status_code == 429]
    assert turned
    assert len(turned) < 4
    assert turned[0].headers["Retry-After"] == "1"
    assert turned[0].json()["error"]["type"] == "rate_limit_error"


def test_a_client_that_leaves_stops_its_generation(serve: Serve) -> None:
    address = serve(max_tokens=480)
    for stream in (True, False):
        body = {"model": "tiny", "messages": HI, "max_tokens": 480, "stream": stream}
        text = json.dumps(body).encode()
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as leaving:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\n"
            head += f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
            leaving.sendall(head.encode() + text)
            wait_until(lambda: writing(address) == 1)
        wait_until(lambda: writing(address) == 0)
    assert post(address, max_tokens=3).json()["usage"]["completion_tokens"] == 3


def writing(address: str) -> int:
    return httpx2.get(f"{address}/health").json()["models"]["tiny"]["writing"]


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def resident_bytes() -> int:
    """What this process holds, without what it has freed.

    glibc keeps that: 50 MiB after 1,200 requests of 70 kB, and no more after 1,800.
    """
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    return psutil.Process().memory_info().rss


@pytest.mark.parametrize("rounds", [30, pytest.param(110, marks=pytest.mark.slow)])
def test_malformed_oversized_and_aborted_requests_leave_it_serving_and_its_memory_flat(
    rounds: int, serve: Serve
) -> None:
    """Nine kinds a round: 270 requests, or 990, after 90 that warm it up."""
    address = serve()
    expected = post(address).json()["choices"]
    host, port = address.removeprefix("http://").split(":")
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json"
    )
    body = {"model": "tiny", "messages": [{"role": "user", "content": "has he"}], "stream": True}
    valid = json.dumps(body).encode()
    attempts = [
        b"\x00\xff\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        head + b"\r\nContent-Length: 99999999\r\n\r\n",
        head + b"\r\nContent-Length: 10\r\n\r\n{",
        head + b"\r\nContent-Length: 4\r\n\r\n" + b"\xff\xfe{}",
        head + b"\r\nContent-Length: 2\r\n\r\n[]",
        head + b"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        head + b"\r\nContent-Length: 9000\r\n\r\n" + b"[" * 9000,
        head + b"\r\nContent-Length: %d\r\n\r\n%s" % (len(valid), valid),  # leaves unanswered
    ]

    def answered(address: str) -> object:
        """Ask until the answers that nobody waits for have left the queue."""
        while (response := post(address)).status_code == 429:
            time.sleep(0.05)
        return response.json()["choices"]

    def attack(rounds: int) -> int:
        for _ in range(rounds):
            for attempt in attempts:
                with socket.create_connection((host, int(port))) as connection:
                    connection.sendall(attempt)
        assert answered(address) == expected
        return resident_bytes()

    before = attack(10)
    after = attack(rounds)
    assert after - before < 16 << 20
    assert threading.active_count() < 30


def test_the_page_loads_nothing_from_elsewhere(serve: Serve) -> None:
    address = serve()
    for path in ("/", "/page.css", "/page.js"):
        found = httpx2.get(f"{address}{path}")
        assert found.status_code == 200
        assert "default-src 'none'" in found.headers["Content-Security-Policy"]
        assert "http://" not in found.text
        assert "https://" not in found.text
        assert "innerHTML" not in found.text
