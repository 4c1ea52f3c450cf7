"""`SocketLiveServerTestCase`: the project's own application, on a port, with WebSocket."""

from __future__ import annotations

import urllib.request
from typing import ClassVar

import socketio
from django.contrib.auth import get_user_model
from django.test import Client

from sync_sio_django import databases, io
from sync_sio_django.testing import SocketLiveServerTestCase

from .project.notes.models import Note


class NotesTests(SocketLiveServerTestCase):
    def client_of(self, name: str, transport: str) -> socketio.Client:
        browser = Client()
        browser.force_login(get_user_model().objects.create_user(name))
        cookie = f"sessionid={browser.cookies['sessionid'].value}"
        client = socketio.Client(reconnection=False)
        client.connect(self.live_server_url, headers={"Cookie": cookie}, transports=[transport])
        self.addCleanup(client.disconnect)
        return client

    def test_clients_are_users_over_each_transport(self) -> None:
        for transport in ("polling", "websocket"):
            client = self.client_of(transport, transport)
            assert client.transport() == transport
            assert client.call("whoami") == transport

    def test_events_and_pages_and_the_test_share_the_database(self) -> None:
        Note.objects.create(text="by the test")
        client = self.client_of("alice", "websocket")
        client.call("write", "by alice")
        with urllib.request.urlopen(f"{self.live_server_url}/notes", timeout=10) as page:
            assert page.read() == b'["by the test", "by alice"]'
        assert Note.objects.count() == 2

    def test_the_database_is_empty_again_in_the_next_test(self) -> None:
        assert self.client_of("alice", "websocket").call("count") == 0


class LeavingTests(SocketLiveServerTestCase):
    left: ClassVar[list[socketio.Client]] = []

    def test_who_stays_is_disconnected_when_the_server_ends(self) -> None:
        client = socketio.Client(reconnection=False)
        client.connect(self.live_server_url, transports=["websocket"])
        self.left.append(client)

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        cls.doClassCleanups()
        cls.left.pop().wait()
        assert io.engine.clients_count == 0 and not databases.shared
