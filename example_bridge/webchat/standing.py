"""What an account is in its chats: only some may name everybody at once."""

from __future__ import annotations

from example_bridge.webchat import client as webchat


class Standing:
    """Kept up to date by the chat list and by the events that follow it."""

    def __init__(self, me: webchat.Account) -> None:
        self._me = me
        self._groups: set[str] = set()
        self._roles: dict[str, webchat.Role] = {}

    def learn(self, chat: webchat.Chat) -> None:
        """A chat is like this now."""
        self._is(chat.id, chat.kind)
        self._roles[chat.id] = chat.roles.get(self._me.id, "member")

    def learn_from(self, event: webchat.Event) -> None:
        """This happened. Only the latest word counts, so a repeat does no harm."""
        match event:
            case webchat.ChatEvent(info=info):
                self._is(event.chat, info.kind)
            case webchat.RoleEvent(member=member, role=role) if member.id == self._me.id:
                self._roles[event.chat] = role
            case webchat.MemberEvent(member=member, role=role) if member.id == self._me.id:
                self._roles[event.chat] = role

    def may_name_everybody(self, chat: str) -> bool:
        """As the network has it: in groups, agents and those with a role."""
        return chat in self._groups and (self._me.kind == "agent" or self._roles.get(chat, "member") != "member")

    def _is(self, chat: str, kind: str) -> None:
        if kind == "group":
            self._groups.add(chat)
