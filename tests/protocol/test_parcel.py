"""Parcels: one packet, and what each transport makes of it."""

from __future__ import annotations

import pytest

from sync_sio.protocol.engineio.payload import decode_payload
from sync_sio.protocol.parcel import PACKET_OVERHEAD, Batch, Parcel
from sync_sio.protocol.websocket.frames import binary_frame, text_frame


@pytest.mark.parametrize("size", [0, 1, 32, 123, 124, 125, 126, 127, 65533, 65534, 65535, 65536, 70000])
def test_frames_of_a_text_are_one_text_frame_at_every_length(size: int) -> None:
    text = b"2" * size
    parcel = Parcel(text)
    assert parcel.frames == text_frame(b"4" + text)
    assert parcel.payload == b"4" + text
    assert parcel.size == size + PACKET_OVERHEAD
    assert list(parcel.packets()) == [(False, b"4" + text)]


def test_attachments_follow_their_text() -> None:
    parcel = Parcel(b'52-["a"]', (b"one", b"\x00" * 200))
    assert parcel.frames == text_frame(b'452-["a"]') + binary_frame(b"one") + binary_frame(b"\x00" * 200)
    assert list(decode_payload(parcel.payload)) == [("4", b'52-["a"]'), ("b", b"one"), ("b", b"\x00" * 200)]
    assert list(parcel.packets()) == [(False, b'452-["a"]'), (True, b"one"), (True, b"\x00" * 200)]
    assert parcel.size == 8 + 203 + 3 * PACKET_OVERHEAD


def test_a_parcel_may_be_attachments_alone() -> None:
    parcel = Parcel(None, (b"packed",))
    assert parcel.frames == binary_frame(b"packed")
    assert parcel.payload == b"bcGFja2Vk"
    assert list(parcel.packets()) == [(True, b"packed")]


@pytest.mark.parametrize("packet", [b"2", b"1", b"6", b"3probe", b'0{"sid":"' + b"x" * 200 + b'"}'])
def test_a_control_packet_goes_as_it_is(packet: bytes) -> None:
    parcel = Parcel.control(packet)
    assert parcel.text is None
    assert parcel.frames == text_frame(packet)
    assert parcel.payload == packet
    assert list(parcel.packets()) == [(False, packet)]
    assert parcel.size == len(packet) + PACKET_OVERHEAD


def test_what_is_derived_is_made_once() -> None:
    parcel = Parcel(b"x" * 300, (b"y",))
    assert parcel.frames is parcel.frames
    assert parcel.payload is parcel.payload


def test_frames_of_one_kind_are_made_once_and_shared() -> None:
    made: list[bytes] = []

    def frame(is_binary: bool, payload: bytes) -> bytes:
        made.append(payload)
        return payload.upper()

    parcel = Parcel(b"text", (b"attached",))
    assert parcel.deflated("kind", frame) == parcel.deflated("kind", frame) == b"4TEXTATTACHED"
    assert made == [b"4text", b"attached"]
    assert parcel.deflated("other", frame) == parcel.deflated(None, frame) == parcel.deflated(None, frame)
    assert len(made) == 8


def test_a_batch_is_what_its_parcels_are_in_one_piece() -> None:
    parcels = [Parcel(b'2["a"]'), Parcel(b'51-["b",{}]', (b"x" * 200,)), Parcel(None, (b"y",), may_compress=False)]
    batch = Batch(parcels)
    assert batch.frames == b"".join(parcel.frames for parcel in parcels)
    assert batch.payload == b"\x1e".join(parcel.payload for parcel in parcels)
    assert list(batch.packets()) == [packet for parcel in parcels for packet in parcel.packets()]
    assert batch.size == sum(parcel.size for parcel in parcels) and batch.may_compress
    assert not Batch(parcels[2:]).may_compress
