"""Roles of the users of an MLflow server with logins: who may write runs, who may promote.

The server must run with `--app-name basic-auth` and `MLFLOW_ENABLE_WORKSPACES=true`; without
workspaces every user may create registered names. A user without a role may do nothing.
"""

from __future__ import annotations

from spinscope.config import Tracking
from spinscope.errors import SpinscopeError
from spinscope.tracking.store import open_server, reachable

ROLES: dict[str, dict[str, str]] = {
    "reader": {"experiment": "READ", "registered_model": "READ"},
    # The files of a registered version are those of a logged model, which only a curator writes.
    "trainer": {"experiment": "EDIT", "logged_model": "READ", "registered_model": "READ"},
    "curator": {"workspace": "USE", "experiment": "EDIT", "registered_model": "EDIT"},
}
"""Role → permission on all resources of a type. A curator registers and promotes."""
_WORKSPACE = "default"


def grant(tracking: Tracking, user: str, role: str) -> None:
    """Give a user of the server one role in place of the former one.

    Parameters
    ----------
    tracking : Tracking
        The server, whose administrator logs in with `MLFLOW_TRACKING_USERNAME` and
        `MLFLOW_TRACKING_PASSWORD`.
    user : str
        Name of an existing user.
    role : str
        reader, trainer or curator.

    Raises
    ------
    SpinscopeError
        If the role or user is unknown, the store is no server with logins, or the extra `server`
        is not installed.
    """
    if role not in ROLES:
        raise SpinscopeError(f"role (={role!r}) must be one of {', '.join(ROLES)}")
    uri = open_server(tracking)
    try:
        from mlflow.server.auth.client import AuthServiceClient
    except ImportError as error:
        raise SpinscopeError(
            f"roles need the packages of the extra `server` ({error}); install 'spinscope[server]'"
        ) from None
    client = AuthServiceClient(uri)
    with reachable(uri):
        client.get_user(user)  # an unknown one is refused before anything changes
        known = {one.name: one for one in client.list_roles(_WORKSPACE)}
        chosen = known.get(role) or client.create_role(_WORKSPACE, role, f"spinscope: {role}")
        present = {one.resource_type for one in client.list_role_permissions(chosen.id)}
        for resource, permission in ROLES[role].items():
            if resource not in present:
                client.add_role_permission(chosen.id, resource, "*", permission)
        assigned = {one.id: one.name for one in client.list_user_roles(user)}
        if chosen.id not in assigned:
            client.assign_role(user, chosen.id)
        for former, name in assigned.items():
            if name in ROLES and former != chosen.id:
                client.unassign_role(user, former)
