"""An empty PostgreSQL database as Supabase lays it out: its roles, its users, its functions, its publication.

Taken from the scripts that Supabase's own image starts with (supabase/postgres) and the migrations of its
sign-in service (supabase/auth), reduced to what other people's tables meet. As there, the database's owner
is ``postgres``, who is no superuser and does not own ``auth.users``.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql

from tests.servers import PostgresServer

OWNER = "postgres"

# Roles belong to the server: with its second database they are there.
_ROLES = """
DO $$ BEGIN
IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticator') THEN RETURN; END IF;
CREATE ROLE postgres NOSUPERUSER CREATEDB CREATEROLE LOGIN REPLICATION BYPASSRLS;
CREATE ROLE supabase_admin SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS;
CREATE ROLE anon NOLOGIN;
CREATE ROLE authenticated NOLOGIN;
CREATE ROLE service_role NOLOGIN BYPASSRLS;
CREATE ROLE authenticator LOGIN NOINHERIT;
GRANT anon, authenticated, service_role TO authenticator;
GRANT anon, authenticated, service_role TO postgres;
CREATE ROLE supabase_auth_admin LOGIN NOINHERIT CREATEROLE;
ALTER ROLE supabase_auth_admin SET search_path = "auth";
ALTER ROLE anon SET statement_timeout = '3s';
ALTER ROLE authenticated SET statement_timeout = '8s';
END $$
"""

_SCHEMAS = """
CREATE SCHEMA extensions;
GRANT ALL ON SCHEMA extensions TO postgres;
GRANT USAGE ON SCHEMA extensions TO anon, authenticated, service_role;
GRANT USAGE ON SCHEMA public TO postgres, anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public
  GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public
  GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public
  GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
CREATE PUBLICATION supabase_realtime;
ALTER PUBLICATION supabase_realtime OWNER TO postgres;
"""

_AUTH = """
CREATE SCHEMA auth AUTHORIZATION supabase_admin;
GRANT ALL ON SCHEMA auth TO supabase_auth_admin;
GRANT USAGE ON SCHEMA auth TO postgres, anon, authenticated, service_role;
CREATE TABLE auth.users (
  instance_id uuid, id uuid PRIMARY KEY, aud varchar(255), "role" varchar(255),
  email varchar(255) UNIQUE, encrypted_password varchar(255), last_sign_in_at timestamptz,
  raw_app_meta_data jsonb, raw_user_meta_data jsonb, is_super_admin bool, created_at timestamptz,
  updated_at timestamptz, phone text UNIQUE, banned_until timestamptz, deleted_at timestamptz,
  is_anonymous bool NOT NULL DEFAULT false
);
ALTER TABLE auth.users OWNER TO supabase_auth_admin;
ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY;
GRANT ALL ON auth.users TO postgres;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
  SELECT coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'))::uuid
$$;
CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS $$
  SELECT coalesce(nullif(current_setting('request.jwt.claim.role', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'))::text
$$;
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT coalesce(nullif(current_setting('request.jwt.claim', true), ''),
    nullif(current_setting('request.jwt.claims', true), ''))::jsonb
$$;
ALTER FUNCTION auth.uid() OWNER TO supabase_auth_admin;
ALTER FUNCTION auth.role() OWNER TO supabase_auth_admin;
ALTER FUNCTION auth.jwt() OWNER TO supabase_auth_admin;
"""


def create(postgres: PostgresServer, name: str) -> str:
    """Make a database as a new project has it; its address for its owner ``postgres``."""
    make_empty(postgres, name)
    lay_out(postgres, name)
    return address(postgres, name)


def make_empty(postgres: PostgresServer, name: str) -> None:
    """Make a database that belongs to ``postgres``, without anything of Supabase's in it."""
    with _superuser(postgres, "postgres") as connection:
        connection.execute(_ROLES)
        made = sql.SQL("CREATE DATABASE {} OWNER postgres").format(sql.Identifier(name))
        connection.execute(made)


def lay_out(postgres: PostgresServer, name: str) -> None:
    """Lay such a database out: what it holds was moved to Supabase, one could say."""
    with _superuser(postgres, name) as connection, connection.transaction():
        connection.execute(_SCHEMAS)
        connection.execute(_AUTH)


def address(postgres: PostgresServer, name: str, role: str = OWNER) -> str:
    """A database's address for one of the roles that may log in."""
    return f"postgresql+psycopg://{role}@{postgres.host}:{postgres.port}/{name}"


def sign_up(
    users: sa.Engine, email: str | None, *, user_id: str | None = None, **metadata: Any
) -> str:
    """Add a user as Supabase's sign-in service does, which connects as ``supabase_auth_admin``."""
    user_id = user_id or str(uuid.uuid4())
    statement = sa.text(
        "INSERT INTO auth.users (id, aud, role, email, raw_user_meta_data)"
        " VALUES (:id, 'authenticated', 'authenticated', :email, CAST(:metadata AS jsonb))"
    )
    with users.begin() as connection:
        told = {"id": user_id, "email": email, "metadata": json.dumps(metadata)}
        connection.execute(statement, told)
    return user_id


def claims_of(user_id: str, role: str | None = None, **more: Any) -> dict[str, Any]:
    """What the token of somebody who signed in says."""
    app_metadata = {"provider": "email"} | ({} if role is None else {"reelyard_role": role})
    return {"sub": user_id, "role": "authenticated", "aud": "authenticated",
            "app_metadata": app_metadata, "user_metadata": {}, **more}  # fmt: skip


@contextmanager
def acting(
    rest: sa.Engine, role: str, claims: Mapping[str, Any] | None = None
) -> Iterator[sa.Connection]:
    """A request to Supabase's REST API: ``authenticator`` becomes the role of the token. Nothing of it stays."""
    told = {"role": role, "claims": json.dumps(claims or {"role": role})}
    become = sa.text(
        "SELECT set_config('role', :role, true), set_config('request.jwt.claims', :claims, true)"
    )
    with rest.connect() as connection, connection.begin() as transaction:
        connection.execute(become, told)
        yield connection
        transaction.rollback()


def _superuser(postgres: PostgresServer, name: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=postgres.host, port=postgres.port, user=postgres.user, dbname=name, autocommit=True
    )
