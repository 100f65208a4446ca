"""A registration that is written can be read, by us and by Synapse; a broken one says where it is broken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.errors import ConfigError
from bridgekit.matrix.homeserver import Homeserver
from bridgekit.matrix.registration import Namespace, Namespaces, Registration, generate, load, to_yaml
from bridgekit.model.ids import UserID
from tests.conftest import SynapseFactory
from tests.matrix.helpers import HeldClock


def made() -> Registration:
    return generate(
        id="webchat",
        url="http://127.0.0.1:29318",
        server_name="hs.test",
        sender_localpart="webchat.bot",
        users=[r"^@webchat_.*:hs\.test$"],
        aliases=[r"^#webchat_.*:hs\.test$"],
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    registration = made()
    path = tmp_path / "registration.yaml"
    path.write_text(to_yaml(registration), encoding="utf-8")
    assert load(path) == registration
    assert "# " in to_yaml(registration)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
NAMESPACES = st.lists(st.builds(Namespace, TEXT.map(re.escape), st.booleans()), max_size=3).map(tuple)


@given(
    st.builds(
        Registration,
        id=TEXT,
        url=st.none() | TEXT,
        as_token=TEXT,
        hs_token=TEXT,
        sender_localpart=TEXT,
        namespaces=st.builds(Namespaces, NAMESPACES, NAMESPACES, NAMESPACES),
        rate_limited=st.booleans(),
        receive_ephemeral=st.booleans(),
        org_matrix_msc3202=st.booleans(),
        io_element_msc4190=st.booleans(),
    )
)
def test_any_value_survives(registration: Registration) -> None:
    document = yaml.safe_load(to_yaml(registration))
    assert document["id"] == registration.id
    assert document["url"] == registration.url
    assert (document["as_token"], document["hs_token"]) == (registration.as_token, registration.hs_token)
    assert [n["regex"] for n in document["namespaces"]["users"]] == [n.regex for n in registration.namespaces.users]
    assert [n["exclusive"] for n in document["namespaces"]["rooms"]] == [
        n.exclusive for n in registration.namespaces.rooms
    ]
    assert document["io.element.msc4190"] is registration.io_element_msc4190


def test_tokens_are_new_long_and_different() -> None:
    tokens = {token for _ in range(10) for token in (made().as_token, made().hs_token)}
    assert len(tokens) == 20
    assert all(len(token) >= 64 for token in tokens)


def test_the_bot_is_in_the_namespace() -> None:
    first = made().namespaces.users[0]
    assert first == Namespace(r"^@webchat\.bot:hs\.test$", exclusive=True)


async def test_synapse_takes_it(tmp_path: Path, synapse_factory: SynapseFactory) -> None:
    path = tmp_path / "registration.yaml"
    registration = made()
    path.write_text(to_yaml(registration), encoding="utf-8")
    synapse = await synapse_factory(registrations=[path])
    hs = Homeserver(
        url=synapse.url,
        as_token=registration.as_token,
        server_name="hs.test",
        bot=UserID("@webchat.bot:hs.test"),
        appservice_id=registration.id,
        clock=HeldClock(),
        random=lambda: 0.0,
    )
    assert await hs.whoami() == "@webchat.bot:hs.test"
    assert await hs.register("webchat_1") == "@webchat_1:hs.test"
    assert await hs.ensure_device(UserID("@webchat_1:hs.test")) == "BRIDGEKIT"
    await hs.close()


GOOD = to_yaml(
    Registration(
        id="x", url=None, as_token="a", hs_token="h", sender_localpart="bot", namespaces=Namespaces((Namespace("r"),))
    )
)


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        ('id: "x"', "id: 5", ": id", "expected `str`"),
        ('id: "x"', 'id: ""', ": id", "empty"),
        ('id: "x"', "", "", "missing required field `id`"),
        ('as_token: "a"', "as_token: 12345", ": as_token", "expected `str`"),
        ('hs_token: "h"', "hs_token: no", ": hs_token", "expected `str`"),
        ("rate_limited: true", "rate_limited: maybe", ": rate_limited", "expected `bool`"),
        ('regex: "r"', "regex: 5", ": namespaces.users[0].regex", "expected `str`"),
        ('regex: "r"', 'regex: "("', ": namespaces.users[0].regex", "no regular expression"),
        ("aliases: []", "aliases: {}", ": namespaces.aliases", "expected `array`"),
        ('id: "x"', "id: [", ", line", "not YAML"),
        ('id: "x"', "id: !!python/object:os.system x", ", line", "not YAML"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, old: str, new: str, where: str, what: str) -> None:
    path = tmp_path / "registration.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.where.startswith(f"{path}{where}")
    assert what in caught.value.what
    assert caught.value.fix


@pytest.mark.parametrize("text", ["", "5", "[]", "null"])
def test_a_file_that_is_something_else(tmp_path: Path, text: str) -> None:
    path = tmp_path / "registration.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.where == str(path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.yaml")
    assert "no such file" in caught.value.what
    (tmp_path / "latin").write_bytes(b"\xff")
    for name in ("latin", "."):
        with pytest.raises(ConfigError):
            load(tmp_path / name)


def test_keys_that_we_do_not_know_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "registration.yaml"
    path.write_text(GOOD + "protocols: [x]\nsomething.new: true\n", encoding="utf-8")
    assert load(path).id == "x"
