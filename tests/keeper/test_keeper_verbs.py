"""Keeper's verb list: the same on both sides, each served, every argument checked; no message hurts keeper."""

import inspect
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staffetta.control.verbs import GenerationState, KeeperVerbs, Verb
from staffetta.keeper import Refusal
from staffetta.keeper.serving import Keeper
from staffetta.keeper.states import State
from staffetta.keeper.verbs import VERBS, Asked, Said, check_arguments, parse_message

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def test_both_sides_know_the_same_verbs_with_the_same_arguments() -> None:
    assert {verb.value for verb in Verb} == set(VERBS)
    for verb, arguments in VERBS.items():
        caller = inspect.signature(getattr(KeeperVerbs, verb)).parameters
        assert [name for name in caller if name != "self"] == list(arguments), verb
        optional = [name for name, one in caller.items() if one.default is not inspect.Parameter.empty]
        assert optional == [name for name, argument in arguments.items() if not argument.required], verb


def test_both_sides_know_the_same_states() -> None:
    assert {state.value for state in State} == {state.value for state in GenerationState}


def test_keeper_serves_every_verb_with_these_arguments() -> None:
    for verb, arguments in VERBS.items():
        served = list(inspect.signature(getattr(Keeper, f"_verb_{verb}")).parameters)
        assert served[2:] == list(arguments), verb
    assert {name.removeprefix("_verb_") for name in dir(Keeper) if name.startswith("_verb_")} == set(VERBS)


@given(verb=st.sampled_from(sorted(VERBS)) | JSON, args=JSON)
def test_any_arguments_are_checked_or_refused(verb: object, args: object) -> None:
    try:
        name, checked = check_arguments(verb, args)
    except Refusal as refusal:
        assert refusal.code in ("unknown-verb", "invalid")
        json.dumps(refusal.message)
    else:
        assert set(checked) <= set(VERBS[name])


@given(st.data())
def test_one_wrong_argument_is_enough(data: st.DataObject) -> None:
    good = {
        "start": {"program": "site", "version": "1.0+a"},
        "activate": {"program": "site", "generation": f"site-{'a' * 26}"},
        "task": {"program": "site", "version": "1.0", "task": "migrate"},
        "unlisten": {"name": "site"},
        "steer": {"name": "site", "share": 50},
        "claim_address": {"interface": "eth0.7", "address": "2001:db8::1/64"},
        "release_address": {"interface": "eth0", "address": "2001:db8::1"},
        "set_clock": {"seconds": 1_900_000_000.5},
        "erase": {"confirmation": "my appliance"},
    }
    verb = data.draw(st.sampled_from(sorted(good)))
    assert check_arguments(verb, good[verb])[0] == verb
    spoiled = data.draw(st.sampled_from(sorted(good[verb])))
    value = data.draw(
        st.sampled_from([None, True, [], {}, "", "\x00", "a\nb", -1, 10**400, math.nan, math.inf, "x" * 300])
    )
    with pytest.raises(Refusal):
        check_arguments(verb, {**good[verb], spoiled: value})


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_understood_or_malformed(data: bytes) -> None:
    assert isinstance(parse_message(data), Said | Asked | None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 60_000,
        b'{"say":"ready"}' + b" " * 65_536,
        b"1" * 6000,
        b'{"say":"fly"}',
        b'{"id":-1,"verb":"status"}',
        b'{"id":true,"verb":"status"}',
        b'{"id":1}',
        b'{"say":"failed","reason":7}',
        b"\xff\xfe",
    ],
)
def test_malformed_messages(data: bytes) -> None:
    assert parse_message(data) is None


def test_a_reason_is_cut_to_what_a_status_can_carry() -> None:
    said = parse_message(json.dumps({"say": "failed", "reason": "x" * 5000}).encode())
    assert said == Said("failed", "x" * 300)
