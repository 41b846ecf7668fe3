"""The event stream decoder: known answers, every line ending, every split."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.wire.sse import Decoder, Event, timed_events

STREAM = (
    '\ufeffdata: {"a": "é\u2028b"}\n\n'
    ": keep-alive\n\n"
    'event: message_start\r\ndata:{"b": 1}\r\n\r\n'
    "id: 7\nretry: 10\ndata: first\ndata: second\n\n"
    "data\n\n"
    "data: last\r\r"
    "data: never finished\n"
).encode()
EVENTS = [
    Event('{"a": "é\u2028b"}'.encode()),
    Event(b'{"b": 1}', "message_start"),
    Event(b"first\nsecond"),
    Event(b""),
    Event(b"last"),
]


def decode(*pieces: bytes) -> list[Event]:
    decoder = Decoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def test_a_stream_with_everything_in_it_gives_its_events():
    assert decode(STREAM) == EVENTS


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_every_split_in_two_gives_the_same_events(cut):
    assert decode(STREAM[:cut], STREAM[cut:]) == EVENTS


def test_byte_by_byte_gives_the_same_events():
    assert decode(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_any_split_into_many_gives_the_same_events(cuts):
    edges = [0, *sorted(cuts), len(STREAM)]
    assert decode(*(STREAM[begin:end] for begin, end in pairwise(edges))) == EVENTS


FRAGMENTS = [
    b"data: ",
    b"data:x",
    b"event: e",
    b": c",
    b"id",
    b"\xef\xbb\xbf",
    "\u2028".encode(),
    b"\n",
    b"\n\n",
    b"\r",
    b"\r\n",
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(b"".join), st.lists(st.integers(0, 60), max_size=8))
def test_any_stream_in_any_pieces_gives_the_events_of_the_whole(stream, cuts):
    edges = [0, *sorted(cuts), len(stream)]
    assert decode(*(stream[begin:end] for begin, end in pairwise(edges))) == decode(stream)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_every_line_ending_is_the_same(ending):
    stream = ending.join([b"event: ping", b"data: 1", b"", b"data: 2", b"", b""])
    assert decode(stream) == [Event(b"1", "ping"), Event(b"2")]


def test_only_one_space_after_the_colon_belongs_to_the_syntax():
    assert decode(b"data:  two\n\n") == [Event(b" two")]


def test_separators_of_unicode_do_not_end_a_line():
    text = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg".encode()
    assert decode(b"data: " + text + b"\n\n") == [Event(text)]


def test_an_event_name_without_data_is_no_event_and_is_forgotten():
    assert decode(b"event: ping\n\ndata: 1\n\n") == [Event(b"1")]


def test_comments_are_counted_and_nothing_else():
    decoder = Decoder()
    assert decoder.feed(b": a\n:\n\n") == []
    assert decoder.comments == 2


def test_an_event_without_its_blank_line_is_dropped_but_remembered():
    decoder = Decoder()
    assert decoder.feed(b"data: 1\n\ndata: 2\n") == [Event(b"1")]
    assert decoder.rest == b"2"


def test_a_mark_of_byte_order_is_one_at_the_very_start_only():
    assert decode(b"data: 1\n\n", b"\xef\xbb\xbfdata: 2\n\n", b"data: 3\n\n") == [Event(b"1"), Event(b"3")]


def test_one_event_a_read_and_an_event_in_many_reads_are_the_same():
    event = b"data: " + b"x" * 65536 + b"\n\n"
    pieces = [event[at : at + 1400] for at in range(0, len(event), 1400)]
    assert decode(event, event, *pieces, event) == [Event(b"x" * 65536)] * 4


def test_an_event_has_the_time_of_the_read_that_completes_it_and_only_the_last_is_exact():
    reads = [(1.0, b"data: a\n"), (2.0, b"\ndata: b\n\ndata: c\n\nda"), (3.0, b"ta: d\n\n")]
    assert list(timed_events(reads, Decoder())) == [
        (2.0, False, Event(b"a")),
        (2.0, False, Event(b"b")),
        (2.0, True, Event(b"c")),
        (3.0, True, Event(b"d")),
    ]
