"""Who may what: one table of roles and scopes."""

from __future__ import annotations

import itertools

import pytest

from reelyard.domain.access import GRANTS, Action, Principal, Role, Scope, usable_scopes
from reelyard.domain.errors import NotAllowed

MANAGERS = {Action.ORDER_QUEUE, Action.ORDER_WORKERS, Action.SEE_METRICS}


def who(role: Role, *scopes: Scope, person: bool = False) -> Principal:
    known = None if person else frozenset(scopes)
    return Principal(user_id="me", username="me", role=role, scopes=known)


def test_every_action_has_a_role_and_a_scope() -> None:
    assert set(GRANTS) == set(Action)


def test_a_person_may_what_their_role_may() -> None:
    for action in Action:
        is_admins, is_managers = action is Action.ADMINISTER, action in MANAGERS
        assert who(Role.ADMIN, person=True).may(action)
        assert who(Role.MANAGER, person=True).may(action) is not is_admins
        operator = who(Role.OPERATOR, person=True)
        assert operator.may(action) is not (is_admins or is_managers)


def test_a_token_may_what_its_owner_may_and_its_scopes_allow() -> None:
    for action, role, scope in itertools.product(Action, Role, Scope):
        may = who(role, scope).may(action)
        assert may == (who(role, person=True).may(action) and GRANTS[action][1] is scope)
        assert not who(role).may(action)
        assert who(role, *Scope).may(action) == who(role, person=True).may(action)


def test_looking_needs_no_more_than_the_scope_to_read() -> None:
    reads = {action for action in Action if who(Role.ADMIN, Scope.READ).may(action)}
    assert reads == {action for action in Action if action.startswith("see ")}


def test_a_refusal_says_what_is_needed() -> None:
    operator = who(Role.OPERATOR, person=True)
    operator.allow(Action.SUBMIT)
    with pytest.raises(NotAllowed, match="an operator can't put the queue in order") as refused:
        operator.allow(Action.ORDER_QUEUE)
    assert refused.value.remedy == "Ask a manager"
    with pytest.raises(NotAllowed, match="a manager can't look after people") as refused:
        who(Role.MANAGER, person=True).allow(Action.ADMINISTER)
    assert refused.value.remedy == "Ask an admin"
    with pytest.raises(NotAllowed, match="this token can't submit jobs") as refused:
        who(Role.ADMIN, Scope.READ).allow(Action.SUBMIT)
    assert refused.value.remedy == "Use a token with the scope write"


def test_operators_see_their_own_and_the_others_all() -> None:
    for role in Role:
        one = who(role, person=True)
        assert one.sees("me")
        assert one.sees("you") is one.sees_all is (role is not Role.OPERATOR)


def test_scopes_that_mean_nothing_for_a_role_are_not_offered() -> None:
    assert set(usable_scopes(Role.OPERATOR)) == {Scope.READ, Scope.WRITE}
    assert set(usable_scopes(Role.MANAGER)) == {Scope.READ, Scope.WRITE, Scope.MANAGE}
    assert list(usable_scopes(Role.ADMIN)) == list(Scope)


def test_roles_go_from_the_least_rights_to_the_most() -> None:
    assert sorted(Role, key=lambda role: role.rank) == [Role.OPERATOR, Role.MANAGER, Role.ADMIN]


def test_what_others_own_is_changed_by_those_who_see_all_and_have_the_scope() -> None:
    for role, scopes, may in [
        (Role.OPERATOR, None, False),
        (Role.MANAGER, None, True),
        (Role.MANAGER, [Scope.READ, Scope.WRITE], False),
        (Role.MANAGER, [Scope.MANAGE], True),
        (Role.OPERATOR, [Scope.MANAGE], False),
    ]:
        one = who(role, *(scopes or ()), person=scopes is None)
        one.allow_change("me")
        assert one.changes_all is may
        if may:
            one.allow_change("you")
        else:
            with pytest.raises(NotAllowed, match="changes nothing of other people"):
                one.allow_change("you")
