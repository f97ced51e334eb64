#!/bin/sh
# PostgreSQL runs this once, on an empty volume. Cobro and Temporal each get their
# own role and databases, so that neither can read the other's.
set -eu
create() { # create ROLE DATABASE…
  role=$1
  shift
  psql --set ON_ERROR_STOP=1 --set password="$(cat "/run/secrets/${role}_password")" --username "$POSTGRES_USER" --dbname postgres <<SQL
CREATE ROLE $role LOGIN PASSWORD :'password';
SQL
  for database; do
    createdb --username "$POSTGRES_USER" --owner "$role" --encoding UTF8 --template template0 "$database"
    psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres --command "REVOKE ALL ON DATABASE $database FROM PUBLIC"
  done
}
create cobro cobro
create temporal temporal temporal_visibility
