"""Events of users, sessions, the ORM, permissions: through the whole server, with clients in memory."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.test import Client, TestCase, TransactionTestCase, override_settings

from sync_sio import ConnectRefused, RequestRefused, event
from sync_sio.testing import TestClient
from sync_sio_django import Socket, io, login_required, on_commit, permission_required, user_passes_test
from sync_sio_django.testing import SocketTestMixin

from .project.notes.models import Note


def a_user(name: str, **fields: Any) -> User:
    user: User = get_user_model().objects.create_user(name, **fields)  # type: ignore[assignment]
    return user


class UserTests(SocketTestMixin, TestCase):
    def test_who_has_no_session_is_anonymous(self) -> None:
        client = self.connect()
        assert client.call("whoami") == "AnonymousUser"
        assert isinstance(client.socket.user, AnonymousUser)  # type: ignore[attr-defined]

    def test_the_user_of_the_session_is_there(self) -> None:
        client = self.connect(a_user("alice"))
        assert client.call("whoami") == "alice"
        assert type(client.socket.user) is User  # type: ignore[attr-defined]

    def test_a_user_is_read_once_and_anew_when_it_is_asked_for(self) -> None:
        alice = a_user("alice")
        client = self.connect(alice)
        assert client.call("whoami") == "alice"
        User.objects.filter(pk=alice.pk).update(username="alicia")
        with self.assertNumQueries(0):
            assert client.call("whoami") == "alice"
        assert client.call("whoami_now") == "alicia"
        assert client.call("whoami") == "alicia"

    def test_a_session_that_has_ended_makes_nobody_anonymous_before_the_user_is_read_anew(self) -> None:
        browser = Client()
        client = self.connect(a_user("alice"), client=browser)
        assert client.call("whoami") == "alice"
        browser.logout()
        assert client.call("whoami") == "alice"
        assert client.call("whoami_now") == "AnonymousUser"

    def test_middleware_may_say_who_it_is_by_other_means(self) -> None:
        bob = a_user("bob")
        namespace = io.of("/tokens")

        @namespace.use
        def token(socket: Socket) -> None:
            socket.user = User.objects.get(username=socket.handshake.auth["token"])

        namespace.event("whoami", lambda socket: [str(socket.user), str(socket.http_request.user)])
        client = self.connect(namespace="/tokens", auth={"token": "bob"})
        assert client.call("whoami") == ["bob", "bob"] and client.socket.user == bob  # type: ignore[attr-defined]

    def test_a_request_is_there_once_for_each_event(self) -> None:
        client = self.connect(a_user("alice"))
        told = client.call("request")
        assert told == {"path": "/socket.io/", "host": "testserver", "user": "alice", "is_the_same": True, "reversed": "/plain"}
        socket: Socket = client.socket  # type: ignore[assignment]
        assert socket.http_request is not socket.http_request

    def test_without_the_middleware_it_is_said_what_is_missing(self) -> None:
        socket: Socket = self.connect().socket  # type: ignore[assignment]
        with override_settings(MIDDLEWARE=[]):
            with pytest.raises(ImproperlyConfigured, match="AuthenticationMiddleware"):
                _ = socket.user
            with pytest.raises(ImproperlyConfigured, match="SessionMiddleware"):
                _ = socket.session

    def test_a_middleware_of_the_projects_own_takes_part(self) -> None:
        before = io.middleware
        io.middleware = (
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "tests.django.test_events.marking",
        )
        try:
            socket: Socket = self.connect(a_user("alice")).socket  # type: ignore[assignment]
            assert socket.http_request.mark == "alice was here"  # type: ignore[attr-defined]
        finally:
            io.middleware = before

    def test_who_only_listens_costs_no_query(self) -> None:
        alice = a_user("alice")
        browser = Client()
        browser.force_login(alice)
        with self.assertNumQueries(0):
            client = self.connect(client=browser)
            io.emit("news", 1)
            assert client.receive() == ["news", 1]
            client.disconnect()


def marking(get_response: Any) -> Any:
    def mark(request: Any) -> Any:
        request.mark = f"{request.user} was here"
        return get_response(request)

    return mark


class SessionTests(SocketTestMixin, TestCase):
    def test_what_an_event_writes_a_page_reads_and_the_other_way_round(self) -> None:
        browser = Client()
        browser.get("/session?colour=red")
        client = self.connect(client=browser)
        assert client.call("recall", "colour") == "red"
        client.call("remember", "colour", "blue")
        assert browser.get("/session").json() == {"colour": "blue"}
        browser.get("/session?colour=green")
        assert client.call("recall", "colour") == "green"

    def test_an_event_that_changes_nothing_saves_nothing(self) -> None:
        browser = Client()
        browser.get("/session?colour=red")
        client = self.connect(client=browser)
        with self.assertNumQueries(1):
            client.call("recall", "colour")

    def test_a_session_without_a_cookie_is_lost_and_that_is_said(self) -> None:
        client = self.connect()
        with self.assertLogs("sync_sio.django", logging.WARNING) as logs:
            client.call("remember", "colour", "red")
        assert "no cookie" in logs.output[0] and not Session.objects.exists()

    def test_a_session_that_ends_meanwhile_is_not_brought_back(self) -> None:
        browser = Client()
        browser.get("/session?colour=red")
        client = self.connect(client=browser)

        @io.event
        def forget_and_remember(socket: Socket) -> None:
            socket.session["colour"] = "blue"
            Session.objects.all().delete()

        client.call("forget_and_remember")
        assert not Session.objects.exists()

    @override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies")
    def test_a_session_that_is_kept_in_its_cookie_cannot_be_changed_and_that_is_said(self) -> None:
        browser = Client()
        browser.get("/session?colour=red")
        client = self.connect(client=browser)
        assert client.call("recall", "colour") == "red"
        with self.assertLogs("sync_sio.django", logging.WARNING) as logs:
            client.call("remember", "colour", "blue")
        assert "SESSION_ENGINE" in logs.output[0]


class DatabaseTests(SocketTestMixin, TestCase):
    def test_events_see_what_the_test_has_written_and_the_other_way_round(self) -> None:
        Note.objects.create(text="first")
        client = self.connect(a_user("alice"))
        assert client.call("read") == ["first"]
        client.call("write", "second")
        assert [str(note.author) for note in Note.objects.filter(text="second")] == ["alice"]

    def test_what_an_event_wants_done_on_commit_is_done_although_the_test_is_one_transaction(self) -> None:
        reader = self.connect()
        reader.call("read")
        number = self.connect(a_user("alice")).call("write", "news")
        assert reader.received == [["note", number, "news"]]
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            Client().get("/publish?text=more")
        assert len(callbacks) == 1 and reader.receive()[0] == "note" and reader.receive()[2] == "more"

    def test_queries_of_earlier_events_are_not_kept(self) -> None:
        connection.force_debug_cursor = True
        try:
            client = self.connect()
            assert [client.call("queries") for _ in range(3)] == [1, 1, 1]
        finally:
            connection.force_debug_cursor = False


class CommitTests(SocketTestMixin, TransactionTestCase):
    def test_nobody_hears_of_what_is_not_committed(self) -> None:
        reader, alice = self.connect(), self.connect(a_user("alice"))
        reader.call("read")
        alice.emit("write", "no")
        alice.call("write", "yes")
        assert reader.receive()[2] == "yes" and reader.received == []

    def test_a_page_tells_when_its_transaction_is_committed(self) -> None:
        reader = self.connect()
        reader.call("read")
        Client().get("/publish?text=undone&undo")
        Client().get("/publish?text=done")
        assert reader.receive()[2] == "done" and reader.received == []

    def test_without_a_transaction_it_happens_at_once(self) -> None:
        client = self.connect()
        on_commit(io).emit("news", 1)
        on_commit(io.to(client.id)).send("hello")
        with pytest.raises(TypeError, match="cannot be sent"):
            on_commit(io).emit("news", object)
        assert client.received == [["news", 1], ["message", "hello"]]

    def test_rooms_and_ends_wait_too(self) -> None:
        client = self.connect()
        with transaction.atomic():
            on_commit(io.in_(client.id)).sockets_join("later")
            assert client.socket.rooms == {client.id}
        assert client.socket.rooms == {client.id, "later"}
        with transaction.atomic():
            on_commit(io.in_(client.id)).sockets_leave("later")
            on_commit(io.in_("later")).disconnect_sockets()
            assert client.connected
        assert client.connected
        on_commit(io.in_(client.id)).disconnect_sockets()
        assert not client.connected

    def test_what_cannot_be_sent_harms_nobody_who_waits_behind(self) -> None:
        client = self.connect()
        with self.assertLogs("django.db.backends.base", logging.ERROR), transaction.atomic():
            on_commit(io).emit("news", object)
            on_commit(io).emit("news", 2)
        assert client.received == [["news", 2]]


class GuardTests(SocketTestMixin, TestCase):
    def test_a_handler_is_for_those_who_are_logged_in(self) -> None:
        nobody, alice = self.connect(), self.connect(a_user("alice"))
        assert nobody.call("write", "x") == {"error": {"code": "login_required", "message": "log in first"}}
        assert alice.call("write", "x") == Note.objects.get().pk

    def test_a_handler_with_an_ack_and_types_keeps_both(self) -> None:
        nobody, alice = self.connect(), self.connect(a_user("alice"))
        assert alice.call("wish", {"text": "ha", "times": 3}) == "hahaha"
        assert alice.call("wish", {"times": 3})["error"]["code"] == "invalid_payload"
        assert nobody.call("wish", {"text": "ha"})["error"]["code"] == "login_required"

    def test_wrong_arguments_are_told_of_the_handler_and_not_of_its_guard(self) -> None:
        alice = self.connect(a_user("alice"), raise_errors=True)
        with pytest.raises(TypeError, match="write takes 1"):
            alice.call("write")

    def test_a_permission_that_is_wanted_fresh_is_seen_when_it_comes_and_goes(self) -> None:
        alice = a_user("alice")
        note = Note.objects.create(text="old")
        client = self.connect(alice)
        refusal = {"error": {"code": "permission_denied", "message": "you lack the permission notes.delete_note"}}
        assert client.call("delete", note.pk) == refusal
        alice.user_permissions.add(Permission.objects.get(codename="delete_note"))
        assert client.call("delete", note.pk) == 1
        alice.user_permissions.clear()
        assert client.call("delete", note.pk) == refusal

    def test_a_namespace_is_for_those_who_are_logged_in(self) -> None:
        with pytest.raises(ConnectRefused, match="log in first") as refused:
            self.connect(namespace="/writers")
        assert refused.value.data == {"code": "login_required"}
        assert self.connect(a_user("alice"), "/writers").call("hello") == "hello alice"

    def test_methods_are_guarded_too(self) -> None:
        alice = a_user("alice", is_superuser=True)
        nobody, client = self.connect(namespace="/deleters"), self.connect(alice, "/deleters")
        assert client.receive() == ["welcome", "alice"]
        assert client.call("delete", 5) == "Deleters 5"
        assert nobody.call("delete", 5)["error"]["code"] == "permission_denied"
        assert nobody.received == []

    def test_guards_go_with_other_decorators_and_with_each_other(self) -> None:
        class Handlers:
            @event("say something")
            @login_required
            @user_passes_test(lambda user: user.get_username() == "alice", "only alice")
            def say(self, socket: Socket, text: str, *, ack: Any) -> None:
                ack(text)

        io.of("/several").register(Handlers())
        assert self.connect(a_user("alice"), "/several").call("say something", "hello") == "hello"
        assert self.connect(a_user("bob"), "/several").call("say something", "x")["error"]["message"] == "only alice"
        assert self.connect(namespace="/several").call("say something", "x")["error"]["code"] == "login_required"

    def test_a_test_of_ones_own(self) -> None:
        may = user_passes_test(lambda user: user.get_username().startswith("a"), "only names with an a")
        io.of("/a").use(may)
        with pytest.raises(ConnectRefused, match="only names with an a"):
            self.connect(a_user("bob"), "/a")
        self.connect(a_user("alice"), "/a")

    def test_a_guard_can_be_put_on_functions_only(self) -> None:
        async def late(socket: Socket) -> None: ...

        for wrong in (5, late):
            with pytest.raises(TypeError, match="no handler"):
                login_required(wrong)  # type: ignore[call-overload]
        assert permission_required(["a.b", "c.d"]).message == "you lack the permission a.b and c.d"


class DoorTests(SocketTestMixin, TestCase):
    def connects(self, **headers: str) -> bool:
        try:
            self.connect(headers=headers).disconnect()
        except RequestRefused:
            return False
        return True

    def test_hosts_are_those_that_pages_are_served_for(self) -> None:
        assert self.connects(Host="www.example.com") and self.connects(Host="localhost:8000")
        with self.assertLogs("django.security.DisallowedHost", logging.ERROR) as logs:
            assert not self.connects(Host="evil.io")
        assert "evil.io" in logs.output[0]

    def test_origins_are_the_own_the_allowed_hosts_and_the_trusted(self) -> None:
        for origin in (
            "http://testserver", "https://www.example.com", "http://localhost:5173",
            "https://trusted.example.org", "https://shop.partner.example.org",
        ):  # fmt: skip
            assert self.connects(Origin=origin), origin
        for origin in (
            "http://evil.io", "http://trusted.example.org", "https://partner.example.org.evil.io", "https://example.com.evil.io",
            "null", "file://", "ftp://localhost",
        ):  # fmt: skip
            assert not self.connects(Origin=origin), origin

    @override_settings(ALLOWED_HOSTS=["*"])
    def test_that_any_host_is_served_does_not_mean_that_any_page_is_trusted(self) -> None:
        assert self.connects(Host="a.io", Origin="http://a.io")
        assert not self.connects(Host="a.io", Origin="http://b.io")

    @override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"))
    def test_a_page_that_came_in_the_clear_may_not_talk_to_a_secure_server(self) -> None:
        assert self.connects(**{"Host": "example.com", "Origin": "https://www.example.com", "X-Forwarded-Proto": "https"})
        assert not self.connects(**{"Host": "example.com", "Origin": "http://www.example.com", "X-Forwarded-Proto": "https"})

    def test_the_answers_headers_let_a_trusted_page_read_them(self) -> None:
        assert io.engine.origins.headers("https://trusted.example.org", {"wsgi.url_scheme": "http"})[0] == (
            "Access-Control-Allow-Origin",
            "https://trusted.example.org",
        )


def test_a_client_may_also_be_made_without_the_mixin() -> None:
    with TestClient(io, headers={"Host": "localhost"}) as client:
        assert client.connected
