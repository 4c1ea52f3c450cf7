"""Plain sockets and TLS, on a socket pair."""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from sync_sio.drivers.keeping import LARGE, PlainSocket
from sync_sio.drivers.streams import RECORD, PlainStream, TlsStream

from .rig import keeping_the_gil


@pytest.fixture(params=["ordinary", "keeping"])
def gil(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both forms of the socket calls."""
    with keeping_the_gil(request.param == "keeping"):
        yield


@pytest.fixture
def plain(gil: None) -> Iterator[tuple[PlainStream, socket.socket]]:
    near, far = socket.socketpair()
    far.settimeout(5)
    stream = PlainStream(PlainSocket(fileno=near.detach()))
    yield stream, far
    stream.close()
    far.close()


def test_nothing_there_is_none_and_the_end_is_empty(plain: tuple[PlainStream, socket.socket]) -> None:
    stream, far = plain
    view = memoryview(bytearray(10))
    assert stream.recv(10) is None and stream.recv_into(view) is None
    far.send(b"abcdef")
    assert stream.recv(3) == b"abc"
    assert stream.recv_into(view) == 3 and bytes(view[:3]) == b"def"
    far.close()
    assert stream.recv(10) == b"" and stream.recv_into(view) == 0
    assert stream.has_pending() is False and stream.is_tls is False


def test_a_full_socket_takes_nothing_more(plain: tuple[PlainStream, socket.socket]) -> None:
    stream, far = plain
    sent = 0
    while count := stream.send(b"x" * 65536):
        sent += count
    assert sent and stream.send(b"x") == 0
    got = 0
    while got < sent:
        got += len(far.recv(65536))
    assert stream.send(b"x") == 1


def test_sending_to_who_is_gone_raises(plain: tuple[PlainStream, socket.socket]) -> None:
    stream, far = plain
    far.close()
    with pytest.raises(OSError):
        stream.send(b"x")


@pytest.mark.usefixtures("gil")
def test_a_reset_reads_as_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        far = socket.create_connection(server.getsockname())
        near, _ = server.accept()
    stream = PlainStream(PlainSocket(fileno=near.detach()))
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()
    assert stream.recv(10) == b""
    stream.close()


def test_shutdown_keeps_the_descriptor_and_close_gives_it_back(plain: tuple[PlainStream, socket.socket]) -> None:
    stream, far = plain
    fd = stream.fd
    stream.shutdown()
    stream.shutdown()
    assert far.recv(1) == b"" and stream.recv(1) == b""
    os.fstat(fd)
    stream.close()
    stream.close()
    with pytest.raises(OSError):
        os.fstat(fd)
    stream.shutdown()       # never raises
    assert stream.recv(1) == b""


def test_tcp_streams_do_not_delay_small_writes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        far = socket.create_connection(server.getsockname())
        near, _ = server.accept()
    raw = PlainSocket(fileno=near.detach())
    stream = PlainStream(raw)
    assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert raw.gettimeout() == 0
    stream.close()
    far.close()


def test_what_is_sent_arrives_whatever_its_size_and_kind(plain: tuple[PlainStream, socket.socket]) -> None:
    """Through short writes, in pieces of all sizes, as bytes, views and bytearrays, read both ways."""
    stream, far = plain
    far.setblocking(False)
    back = PlainStream(PlainSocket(fileno=far.detach()))
    everything = os.urandom(3 * LARGE + 12345)
    for kind in (bytes, memoryview, bytearray):
        for size in (1, 2, 100, 4096, 65535, 65536, 65537, LARGE, LARGE + 1, len(everything)):
            whole = everything[: size * 100]
            sent, got = 0, bytearray()
            space = bytearray(100_000)
            while len(got) < len(whole):
                piece: Any = kind(whole[sent : sent + size])
                while piece and (count := stream.send(piece)):
                    sent += count
                    piece = piece[count:]
                if size % 2:
                    got += back.recv(size) or b""
                else:
                    count = back.recv_into(memoryview(space)[:size]) or 0
                    got += space[:count]
            assert got == whole
    back.close()


def test_a_closed_stream_touches_no_descriptor_that_got_its_number(plain: tuple[PlainStream, socket.socket]) -> None:
    stream, _ = plain
    fd = stream.fd
    near, other = socket.socketpair()
    stream.close()
    os.dup2(other.fileno(), fd)
    near.send(b"for another")
    assert stream.recv(10) == b"" and stream.recv_into(memoryview(bytearray(10))) == 0
    with pytest.raises(OSError):
        stream.send(b"x")
    near.setblocking(False)
    with pytest.raises(BlockingIOError):
        near.recv(1)
    os.close(fd)
    assert other.recv(20) == b"for another"
    near.close()
    other.close()


def test_threads_that_read_at_the_same_time_get_their_own_bytes(gil: None) -> None:
    """The kept `recv` has a buffer outside: no two calls may share one, wherever a switch happens."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    wrong: list[bytes] = []

    def read(number: int) -> None:
        near, far = socket.socketpair()
        stream = PlainStream(PlainSocket(fileno=near.detach()))
        for round_ in range(2000):
            expected = bytes([number, round_ % 256]) * 50
            far.send(expected)
            if (data := stream.recv(4096)) != expected:
                wrong.append(data or b"")
        stream.close()
        far.close()

    try:
        threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


# -- TLS -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


class TlsPair:
    """A `TlsStream`, and a client whose bytes are moved by hand."""

    def __init__(self, certificate: Path) -> None:
        near, self.far = socket.socketpair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        near.setblocking(False)
        self.far.setblocking(False)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certificate)
        client = ssl.create_default_context()
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        self.owner: Any = server.wrap_socket(near, server_side=True, do_handshake_on_connect=False)
        self.incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(self.incoming, outgoing)
        self.outgoing = outgoing
        done = [False, False]
        while not all(done):
            for index, shake in enumerate((self.client.do_handshake, self.owner.do_handshake)):
                try:
                    shake()
                    done[index] = True
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
                self.move()
        self.stream = TlsStream(self.owner._sslobj, self.owner)
        self.move()

    def move(self) -> None:
        """Carry what is under way."""
        if self.outgoing.pending:
            self.far.sendall(self.outgoing.read())
        while True:
            try:
                data = self.far.recv(1 << 16)
            except BlockingIOError:
                return
            if not data:
                self.incoming.write_eof()
                return
            self.incoming.write(data)

    def read(self) -> bytes:
        self.move()
        data = b""
        while True:
            try:
                more = self.client.read(1 << 16)
            except ssl.SSLWantReadError:
                return data
            if not more:
                return data
            data += more

    def write(self, data: bytes) -> None:
        self.client.write(data)
        self.move()

    def close(self) -> None:
        self.stream.close()
        self.far.close()


@pytest.fixture
def tls(certificate: Path) -> Iterator[TlsPair]:
    pair = TlsPair(certificate)
    yield pair
    pair.close()


def test_tls_carries_bytes_both_ways(tls: TlsPair) -> None:
    stream = tls.stream
    assert stream.is_tls and stream.recv(10) is None
    tls.write(b"abcdef")
    assert stream.recv(2) == b"ab"
    assert stream.has_pending()
    view = memoryview(bytearray(10))
    assert stream.recv_into(view) == 4 and bytes(view[:4]) == b"cdef"
    assert not stream.has_pending() and stream.recv_into(view) is None
    assert stream.send(b"answer") == 6
    assert tls.read() == b"answer"


def test_tls_sends_what_is_larger_than_a_record(tls: TlsPair) -> None:
    data = os.urandom(RECORD * 5 + 77)
    rest, got = data, b""
    while rest:
        rest = rest[tls.stream.send(rest) :]
        got += tls.read()
    assert got + tls.read() == data


def test_a_frame_of_which_a_part_has_left_is_never_said_to_be_unsent(tls: TlsPair) -> None:
    """A volatile packet is dropped when `send` says 0; then not a byte of it may ever arrive."""
    whole = b""
    number = 0
    refused = 0
    while refused < 3:
        frame = bytes([65 + number % 26]) * 3000
        number += 1
        sent = tls.stream.send(frame)
        if sent == 0:
            refused += 1                    # dropped: the next frame is another one
            continue
        whole += frame
        rest = frame[sent:]
        assert len(rest) < len(frame)
        if rest:                            # kept: it goes first from now on
            assert tls.stream.send(rest) == 0
            got = tls.read()
            while rest:
                rest = rest[tls.stream.send(rest) :]
                got += tls.read()
            assert got + tls.read() == whole
            whole = b""
            refused += 1
    whole_again = tls.read()
    assert whole_again == whole


def test_a_stuck_record_goes_first_whatever_the_caller_joins_to_the_rest(tls: TlsPair) -> None:
    sent = b""
    data = bytes(range(256)) * 8
    while True:
        count = tls.stream.send(data)
        sent += data[:count]
        if count < len(data):
            break
    assert count > 0
    rest = data[count:] + b"joined" * 10
    got = tls.read()
    while rest:
        count = tls.stream.send(rest)
        sent += rest[:count]
        rest = rest[count:]
        got += tls.read()
    assert got + tls.read() == sent


def test_the_end_of_tls_is_the_end(tls: TlsPair) -> None:
    tls.far.close()
    assert tls.stream.recv(10) == b""


def test_tls_says_goodbye(tls: TlsPair) -> None:
    tls.stream.shutdown()
    tls.stream.shutdown()
    tls.move()
    assert tls.client.read(1) == b""        # a cut stream would be an SSLEOFError
    assert tls.stream.recv(1) == b""
    with pytest.raises(OSError):
        tls.stream.send(b"x")


def test_tls_on_an_owner_whose_methods_do_nothing(certificate: Path) -> None:
    """As after a take-over: the server's object is a husk."""
    pair = TlsPair(certificate)

    class Husk(ssl.SSLSocket):
        def close(self) -> None: ...
        def shutdown(self, how: int) -> None: ...
        def setblocking(self, flag: bool) -> None: ...
        def fileno(self) -> int:
            return -1

    sslobj = pair.owner._sslobj
    pair.owner.__class__ = Husk
    stream = TlsStream(sslobj, pair.owner)
    assert stream.fd > 0
    pair.write(b"x")
    assert stream.recv(1) == b"x"
    stream.close()
    with pytest.raises(OSError):
        os.fstat(stream.fd)
    pair.far.close()
