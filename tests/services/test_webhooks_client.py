"""Where webhooks may go, and what a receiver can't do to whoever calls it."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpcore
import pytest

from reelyard.domain.errors import RequestInvalid
from reelyard.services.webhook_address import check_url, is_public
from reelyard.services.webhook_client import Answer, GuardedClient

from .receivers import Receiver, dripping, silent, speaking

LOCAL = ("localhost",)
QUICK = 0.25
"""Seconds for a request to those that would take for ever."""


@dataclass
class Network(httpcore.NetworkBackend):
    """A network on which everything is answered; it remembers what was connected to."""

    answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n"
    dead: tuple[str, ...] = ()
    connected: list[tuple[str, int]] = field(default_factory=list)
    names: list[tuple[str | None, ssl.VerifyMode, bool]] = field(default_factory=list)

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        self.connected.append((host, port))
        if host in self.dead:
            raise httpcore.ConnectError("nobody is there")
        return _Stream([self.answer], self)


class _Stream(httpcore.MockStream):
    def __init__(self, answers: list[bytes], network: Network) -> None:
        super().__init__(answers)
        self._network = network

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: Any = None
    ) -> httpcore.NetworkStream:
        known = (server_hostname, ssl_context.verify_mode, ssl_context.check_hostname)
        self._network.names.append(known)
        return self


@cache
def trusted() -> ssl.SSLContext:
    """Reading the certificates that the world trusts takes a while."""
    return httpcore.default_ssl_context()


def calling(**options: Any) -> GuardedClient:
    return GuardedClient(tls=trusted(), **options)


def ask(client: GuardedClient, url: str) -> Answer:
    return client.post(url, {"x-mine": "1"}, b'{"a": 1}')


def resolving(*answers: Sequence[str], network: Network, **options: Any) -> GuardedClient:
    """A client whose name server gives these answers, one after the other."""
    left = list(answers)
    return calling(network=network, resolve=lambda *_: left.pop(0), **options)


@pytest.mark.parametrize(
    ("url", "called"),
    [
        ("https://Example.com", "https://example.com/"),
        ("https://example.com.:443/a b?".replace(" ", "%20"), "https://example.com/a%20b"),
        ("https://example.com:8443/hook?x=1&y=%2F", "https://example.com:8443/hook?x=1&y=%2F"),
        ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
        ("https://8.8.8.8/x", "https://8.8.8.8/x"),
        ("https://[2606:4700:0::1111]/x", "https://[2606:4700::1111]/x"),
        ("http://nas/hook", "http://nas/hook"),
        ("http://LOCALHOST:9000/", "http://localhost:9000/"),
        ("http://10.0.0.5:80/", "http://10.0.0.5/"),
        ("http://[::1]:8080/", "http://[::1]:8080/"),
    ],
)
def test_a_good_address_is_called_as_it_is_meant(url: str, called: str) -> None:
    hosts = ("NAS", "localhost:9000", "10.0.0.5", "[::1]:8080")
    assert check_url(url, hosts) == called
    assert check_url(called, hosts) == called


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "//example.com/", "ftp://example.com/", "file:///etc/passwd",
        "javascript:alert(1)", "https://", "https:///x", "https://:443/", "https://exa mple.com/",
        "https://example.com/\r\nx-header: 1", "https://example.com/\t", "https://example.com\\@x/",
        "https://user@example.com/", "https://user:word@example.com/", "https://@example.com/",
        "https://example.com/#part", "https://example.com/#", "https://example.com:0/",
        "https://example.com:99999/", "https://example.com:x/", "https://example.com:25/",
        "https://-x-.example/", "https://a..b/", "https://" + "a" * 64 + ".example/",
        "https://example.com/" + "a" * 2000, "https://example.com/\udcff", "https://[::1/",
        "http://example.com/", "http://nas:81/", "http://nas.example/",
        "https://localhost/", "https://x.localhost./", "https://127.0.0.1/", "https://10.0.0.1/",
        "https://127.1/", "https://2130706433/", "https://0x7f.0.0.1/", "https://017700000001/",
        "https://１２７.0.0.1/", "https://169.254.169.254/latest/meta-data/", "https://[::1]/",
        "https://[::ffff:127.0.0.1]/", "https://[fe80::1%25eth0]/", "https://0.0.0.0/",
    ],
)  # fmt: skip
def test_a_bad_address_is_refused_in_words(url: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        check_url(url, ("nas:80",))
    assert caught.value.field == "url"
    assert caught.value.remedy


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808"])
def test_addresses_on_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1",  # our own
        "169.254.169.254", "100.64.0.1", "168.63.129.16", "fd00:ec2::254",  # the provider's
        "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.9", "240.0.0.1",
        "192.88.99.1", "255.255.255.255", "224.0.0.1", "239.255.255.250",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1",
        "100::1", "5f00::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "2002:7f00:1::", "2002:a00:1::1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2001:0:4136:e378::1",
        "not an address", "",
    ],
)  # fmt: skip
def test_addresses_of_our_own_are_not(address: str) -> None:
    assert not is_public(address)


def test_the_address_that_was_checked_is_connected_to() -> None:
    """The name server's second answer would have been this machine."""
    network = Network()
    client = resolving(["8.8.8.8"], ["127.0.0.1"], network=network)
    assert ask(client, "https://example.com/").is_success
    assert network.connected == [("8.8.8.8", 443)]


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["8.8.8.8", "::1"], ["fe80::1%eth0"]]
)
def test_a_name_with_one_address_of_our_own_is_not_called(found: list[str]) -> None:
    network = Network()
    answer = ask(resolving(found, network=network), "https://example.com/")
    assert (answer.status_code, network.connected) == (None, [])
    assert answer.reason == "example.com is not on the public internet"


def test_a_host_that_is_allowed_by_name_may_be_anywhere() -> None:
    """Only by that name: its address is as closed as before, and so is another port."""
    network = Network()
    options: dict[str, Any] = {"network": network, "allowed_hosts": ("nas:8080",)}
    assert ask(resolving(["10.0.0.5"], **options), "http://nas:8080/").is_success
    assert network.connected == [("10.0.0.5", 8080)]
    for url in ("http://nas:8081/", "http://10.0.0.5:8080/", "http://nas.example:8080/"):
        assert ask(resolving(["10.0.0.5"], **options), url).status_code is None
    assert len(network.connected) == 1


def test_a_certificate_is_checked_against_the_name_and_not_the_address() -> None:
    network = Network()
    assert ask(resolving(["8.8.8.8"], network=network), "https://example.com/").is_success
    assert network.names == [("example.com", ssl.CERT_REQUIRED, True)]


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    network = Network(dead=("8.8.8.8",))
    client = resolving(["8.8.8.8", "8.8.8.8", "1.1.1.1"], network=network)
    assert ask(client, "https://example.com/").is_success
    assert network.connected == [("8.8.8.8", 443), ("1.1.1.1", 443)]


@pytest.mark.parametrize(
    ("found", "network", "reason"),
    [
        ([], Network(), "has no address"),
        (["8.8.8.8"], Network(dead=("8.8.8.8",)), "nobody is there"),
        (["8.8.8.8"], Network(answer=b"220 smtp\r\n"), "does not speak HTTP"),
        (["8.8.8.8"], Network(answer=b""), "without sending a response"),
    ],
)
def test_a_connection_that_comes_to_nothing_is_an_answer_too(
    found: list[str], network: Network, reason: str
) -> None:
    answer = ask(resolving(found, network=network), "https://example.com/")
    assert answer.status_code is None
    assert reason in answer.reason


def test_a_name_that_is_unknown_or_not_looked_up_in_time_is_an_answer_too() -> None:
    def unknown(*_: Any) -> Sequence[str]:
        raise socket.gaierror(-2, "Name or service not known")

    def slow(*_: Any) -> Sequence[str]:
        time.sleep(2 * QUICK)
        return ["8.8.8.8"]

    url = "https://example.com/"
    assert "example.com can't be found" in ask(calling(resolve=unknown), url).reason
    answer = ask(calling(resolve=slow, total_seconds=QUICK), url)
    assert answer.reason == f"no answer within {QUICK:g} seconds"


def test_a_request_arrives_as_it_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """And directly: proxies of the environment are not asked."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Receiver(body=b"thanks").open() as receiver:
        answer = ask(calling(allowed_hosts=LOCAL), receiver.url)
    assert answer == Answer(status_code=204)
    [got] = receiver.received
    assert (got.path, got.body, got.headers["x-mine"]) == ("/hooks?key=1", b'{"a": 1}', "1")
    assert got.headers["host"] == f"localhost:{receiver.port}"
    assert got.headers["user-agent"].startswith("reelyard/0.")


def test_a_redirect_is_not_followed() -> None:
    """Whoever it leads to hears nothing of it."""
    with Receiver().open() as inside, Receiver([(307, {"location": inside.url})]).open() as outside:
        answer = ask(calling(allowed_hosts=LOCAL), outside.url)
        assert answer.status_code == 307
        assert not answer.is_success
        assert (len(outside.received), inside.received) == (1, [])


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nx-more: "])
def test_who_drips_its_headers_is_hung_up_on(start: bytes) -> None:
    with speaking(dripping(start)) as port:
        began = time.monotonic()
        client = calling(allowed_hosts=LOCAL, total_seconds=QUICK)
        answer = ask(client, f"http://localhost:{port}/")
        assert time.monotonic() - began < 5
    assert answer.status_code is None


def test_who_drips_its_answer_for_ever_has_answered() -> None:
    with speaking(dripping(b"HTTP/1.1 200 OK\r\n\r\n")) as port:
        began = time.monotonic()
        client = calling(allowed_hosts=LOCAL, total_seconds=QUICK)
        answer = ask(client, f"http://localhost:{port}/")
        assert time.monotonic() - began < 5
    assert answer == Answer(status_code=200)


def test_who_never_answers_is_hung_up_on() -> None:
    with speaking(silent) as port:
        client = calling(allowed_hosts=LOCAL, total_seconds=QUICK)
        answer = ask(client, f"http://localhost:{port}/")
        secure = ask(client, f"https://localhost:{port}/")
    assert answer == secure == Answer(reason=f"no answer within {QUICK:g} seconds")


def test_an_endless_answer_is_not_read_to_its_end() -> None:
    sent = []

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent.append(connection.send(b"x" * 65536))

    with speaking(talk) as port:
        began = time.monotonic()
        answer = ask(calling(allowed_hosts=LOCAL), f"http://localhost:{port}/")
        assert time.monotonic() - began < 5
    assert answer.is_success
    assert sum(sent) < 32 << 20


def test_an_answer_without_encryption_is_none_where_it_was_asked_for() -> None:
    with Receiver().open() as receiver:
        url = receiver.url.replace("http://", "https://")
        answer = ask(calling(allowed_hosts=LOCAL), url)
    assert answer.status_code is None
    assert answer.reason.startswith("the connection failed")
