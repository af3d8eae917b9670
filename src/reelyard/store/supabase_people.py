"""Supabase's users have names: ``profiles`` follows ``auth.users``.

Not everybody in ``profiles`` is one of them (people at the machines and accounts of our own are there as well), so a
row that is says so in ``auth_user_id``, by which it goes when the user does. Jobs stay, and show ``unknown``;
sessions and tokens that the user had here end.
"""

from __future__ import annotations

import sqlalchemy as sa


def follow_users(connection: sa.Connection) -> None:
    """Have a profile for each user, now and later. A name that was changed here stays as it is."""
    schema = connection.scalar(sa.text("SELECT quote_ident(current_schema())"))
    trigger = connection.scalar(sa.text(_TRIGGER_NAME))
    if not connection.scalar(sa.text(_HAS_KEY)):
        connection.exec_driver_sql(_KEY)
    for statement in (_NAME, _FOLLOW, _CLOSE, _TRIGGER, _BACKFILL):
        connection.exec_driver_sql(statement.format(schema=schema, trigger=trigger))


def follows_users(connection: sa.Connection) -> bool:
    return bool(connection.scalar(sa.text(_FOLLOWS)))


_HAS_KEY = """
SELECT EXISTS (SELECT FROM pg_constraint WHERE conname = 'fk_profiles_auth_user_id'
               AND connamespace = CAST(current_schema() AS regnamespace))
"""
# What a dump brought along may speak of users who are not here.
_KEY = """
ALTER TABLE profiles
  ADD COLUMN IF NOT EXISTS auth_user_id uuid,
  DROP CONSTRAINT IF EXISTS uq_profiles_auth_user_id,
  DROP CONSTRAINT IF EXISTS ck_profiles_auth_user_id;
UPDATE profiles SET auth_user_id = NULL
WHERE NOT EXISTS (SELECT FROM auth.users WHERE users.id = profiles.auth_user_id);
ALTER TABLE profiles
  ADD CONSTRAINT uq_profiles_auth_user_id UNIQUE (auth_user_id),
  ADD CONSTRAINT ck_profiles_auth_user_id CHECK (auth_user_id = user_id),
  ADD CONSTRAINT fk_profiles_auth_user_id
    FOREIGN KEY (auth_user_id) REFERENCES auth.users (id) ON DELETE CASCADE
"""
# What people call themselves is theirs to choose, so it may be anything: one line of text comes out.
# ``file://`` is how the store spells names that are no text.
_NAME = """
CREATE OR REPLACE FUNCTION {schema}.reelyard_name(id uuid, email text, meta jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
  SELECT coalesce((
    SELECT cleaned.name
    FROM unnest(ARRAY[meta ->> 'username', meta ->> 'full_name', meta ->> 'name',
                      split_part(email, '@', 1)]) WITH ORDINALITY AS given (name, place),
    LATERAL (SELECT left(btrim(regexp_replace(given.name, '[[:cntrl:]]+', ' ', 'g')), 100)) AS cleaned (name)
    WHERE cleaned.name <> '' AND NOT starts_with(cleaned.name, 'file://')
    ORDER BY given.place LIMIT 1
  ), 'user-' || left(CAST(id AS text), 8))
$$
"""
# With its owner's rights: who adds users may not write here. Users that are only marked as deleted go as well.
_FOLLOW = """
CREATE OR REPLACE FUNCTION {schema}.reelyard_follow_user() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  IF TG_OP = 'DELETE' OR to_jsonb(NEW) ->> 'deleted_at' IS NOT NULL THEN
    DELETE FROM {schema}.profiles WHERE auth_user_id = OLD.id;
    DELETE FROM {schema}.sessions WHERE user_id = OLD.id;
    UPDATE {schema}.api_tokens SET revoked_at = now() WHERE user_id = OLD.id AND revoked_at IS NULL;
    UPDATE {schema}.accounts SET is_active = false WHERE user_id = OLD.id;
  ELSIF TG_OP = 'INSERT' THEN
    INSERT INTO {schema}.profiles (user_id, username, auth_user_id)
    VALUES (NEW.id, {schema}.reelyard_name(NEW.id, NEW.email, NEW.raw_user_meta_data), NEW.id)
    ON CONFLICT (user_id) DO UPDATE SET auth_user_id = excluded.auth_user_id;
  ELSE
    UPDATE {schema}.profiles
    SET username = {schema}.reelyard_name(NEW.id, NEW.email, NEW.raw_user_meta_data)
    WHERE auth_user_id = NEW.id
      AND username = {schema}.reelyard_name(OLD.id, OLD.email, OLD.raw_user_meta_data);
  END IF;
  RETURN NULL;
END
$$
"""
# Supabase lets everybody call what is in public; a trigger needs no such right.
_CLOSE = """
REVOKE ALL ON FUNCTION
  {schema}.reelyard_name(uuid, text, jsonb), {schema}.reelyard_follow_user()
FROM PUBLIC, anon, authenticated
"""
# The table is not ours: a trigger there can be made and replaced, but not dropped. Of changes it fires for those
# of names only, and not each time that somebody signs in.
_TRIGGER_NAME = "SELECT quote_ident('reelyard_follow_user_' || current_schema())"
_TRIGGER = """
CREATE OR REPLACE TRIGGER {trigger}
AFTER INSERT OR DELETE OR UPDATE OF email, raw_user_meta_data ON auth.users
FOR EACH ROW EXECUTE FUNCTION {schema}.reelyard_follow_user()
"""
_BACKFILL = """
INSERT INTO {schema}.profiles (user_id, username, auth_user_id)
SELECT u.id, {schema}.reelyard_name(u.id, u.email, u.raw_user_meta_data), u.id
FROM auth.users u WHERE to_jsonb(u) ->> 'deleted_at' IS NULL
ON CONFLICT (user_id) DO UPDATE SET auth_user_id = excluded.auth_user_id
WHERE profiles.auth_user_id IS NULL
"""
_FOLLOWS = """
SELECT EXISTS (
  SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
  JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = 'auth' AND c.relname = 'users' AND t.tgenabled <> 'D'
    AND p.proname = 'reelyard_follow_user'
    AND p.pronamespace = CAST(current_schema() AS regnamespace))
"""
