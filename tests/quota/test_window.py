"""The arithmetic of the window against an oracle that keeps every request and counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings, strategies as st

from chartsend.transport.quota.clock import LONG_AGO_NS
from chartsend.transport.quota.window import free_at_ns, is_full_until, used


@dataclass
class Times:
    """Answers in a list."""

    at_ns: list[int] = field(default_factory=list)
    floor_ns: int = LONG_AGO_NS

    @property
    def count(self):
        return len(self.at_ns)

    def newest_ns(self, rank):
        return self.at_ns[-rank] if rank <= len(self.at_ns) else self.floor_ns


@dataclass
class Oracle:
    """Every request that ever was, with the time of its answer or None; counted one by one."""

    window_ns: int
    requests: list[int | None] = field(default_factory=list)

    def counted(self, at_ns):
        return sum(each is None or each + self.window_ns > at_ns for each in self.requests)


STEPS = st.lists(
    st.one_of(
        st.just("dispatch"),
        st.tuples(st.just("answer"), st.integers(0, 50)),
        st.tuples(st.just("pass"), st.integers(0, 12)),
    ),
    max_size=120,
)


def walk(steps, limit, window_ns, *, obeys=True):
    """Do the steps; give the time, the times, the oracle, and each request's dispatch and answer."""
    now_ns, times, oracle = 1000, Times(), Oracle(window_ns)
    went: list[int] = []
    for step in steps:
        in_flight = sum(each is None for each in oracle.requests)
        if step == "dispatch":
            if not obeys or free_at_ns(times, limit, in_flight, window_ns, now_ns) <= now_ns:
                oracle.requests.append(None)
                went.append(now_ns)
        elif step[0] == "pass":
            now_ns += step[1]
        else:
            waiting = [n for n, each in enumerate(oracle.requests) if each is None]
            if waiting:
                oracle.requests[waiting[step[1] % len(waiting)]] = now_ns
                times.at_ns.append(now_ns)
        yield now_ns, times, oracle, went


@given(STEPS, st.integers(1, 8), st.integers(1, 30))
@settings(max_examples=300, deadline=None)
def test_there_is_room_exactly_when_fewer_than_the_limit_count(steps, limit, window_ns):
    for now_ns, times, oracle, _ in walk(steps, limit, window_ns):
        in_flight = sum(each is None for each in oracle.requests)
        free_ns = free_at_ns(times, limit, in_flight, window_ns, now_ns)
        assert (free_ns <= now_ns) == (oracle.counted(now_ns) < limit)
        assert used(times, limit, in_flight, window_ns, now_ns) == oracle.counted(now_ns)
        if free_ns > now_ns and in_flight < limit:  # then it is exact, and not a moment too late
            assert oracle.counted(free_ns) < limit
            assert oracle.counted(free_ns - 1) >= limit


@given(STEPS, st.integers(1, 8), st.integers(1, 8), st.integers(1, 30), st.integers(0, 60))
@settings(max_examples=300, deadline=None)
def test_the_rule_holds_for_any_limit_over_the_same_times(steps, limit, other, window_ns, ahead_ns):
    """The times are shared by processes with other limits, and a limit changes while they stay."""
    for now_ns, times, oracle, _ in walk(steps, limit, window_ns):
        in_flight = sum(each is None for each in oracle.requests)
        free_ns = free_at_ns(times, other, in_flight, window_ns, now_ns)
        assert (free_ns <= now_ns) == (oracle.counted(now_ns) < other)
        until_ns = now_ns + ahead_ns
        is_full = is_full_until(times, other, in_flight, window_ns, now_ns=now_ns, until_ns=until_ns)
        if until_ns < now_ns + window_ns:  # nothing that is in flight can have left by then
            assert is_full == (oracle.counted(until_ns) >= other)
        else:
            assert not is_full


@given(STEPS, st.integers(1, 8), st.integers(1, 30), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_a_server_counts_no_more_than_the_limit_in_any_window_whenever_it_counts(
    steps, limit, window_ns, draw
):
    now_ns, oracle, went = 1000, Oracle(window_ns), []
    for now_ns, _, oracle, went in walk(steps, limit, window_ns):  # noqa: B007  # the last of them
        pass
    counted = sorted(
        draw.choice((at, now_ns if end is None else end, draw.randint(at, end or now_ns)))
        for at, end in zip(went, oracle.requests, strict=True)
    )
    for n, last in enumerate(counted):
        assert sum(at > last - window_ns for at in counted[: n + 1]) <= limit


def test_the_oracle_sees_a_client_that_obeys_nothing():
    steps = ["dispatch"] * 5
    for _ in walk(steps, 3, 10, obeys=False):
        pass
    (*_, (now_ns, _, oracle, _)) = walk(steps, 3, 10, obeys=False)
    assert oracle.counted(now_ns) == 5


@given(st.integers(0, 40), st.integers(1, 8), st.integers(0, 20), st.integers(1, 30))
def test_what_is_not_written_counts_as_all_there_may_be(floor_ns, limit, passed_ns, window_ns):
    times, now_ns = Times(floor_ns=floor_ns), floor_ns + passed_ns
    assert (free_at_ns(times, limit, 0, window_ns, now_ns) <= now_ns) == (passed_ns >= window_ns)
    assert used(times, limit, 0, window_ns, now_ns) == (limit if passed_ns < window_ns else 0)
