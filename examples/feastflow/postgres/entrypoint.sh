#!/bin/sh
# Makes the database on the first start, then becomes PostgreSQL. A kill at any instant leaves either no database or a
# whole one: everything is prepared beside PGDATA and moved into place at the end.
set -eu

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

case "${1:-}" in -*) set -- postgres "$@" ;; esac

if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
    echo 'POSTGRES_PASSWORD is not set: the superuser needs a password.' >&2
    echo 'Set it, or set POSTGRES_HOST_AUTH_METHOD=trust to let everyone in.' >&2
    exit 1
  fi
  new=$PGDATA.new
  rm -rf "$new"
  password=$(mktemp)
  printf '%s\n' "${POSTGRES_PASSWORD:-none}" > "$password"
  # shellcheck disable=SC2086
  initdb --pgdata="$new" --username="$user" --pwfile="$password" --encoding=UTF8 --locale=C.UTF-8 \
    --auth-local=trust --auth-host=scram-sha-256 --no-sync ${POSTGRES_INITDB_ARGS:-} > /dev/null
  rm -f "$password"
  echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >> "$new/pg_hba.conf"
  cat >> "$new/postgresql.conf" <<'CONF'
listen_addresses = '*'
unix_socket_directories = '/var/run/postgresql'
CONF
  if [ "$database" != postgres ]; then
    printf 'CREATE DATABASE "%s";\n' "$(printf %s "$database" | sed 's/"/""/g')" |
      postgres --single -j -D "$new" postgres > /dev/null
  fi
  initdb --sync-only --pgdata="$new" > /dev/null
  rm -rf "$PGDATA"
  mv "$new" "$PGDATA"
  echo "database \"$database\" made for user \"$user\""
fi

exec "$@"
