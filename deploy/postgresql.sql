-- A role and a database for userdrop, with the rights it needs and no others. Run it once as the server's superuser:
--   psql --variable=ON_ERROR_STOP=1 --file=deploy/postgresql.sql
-- Then give the role a password (\password userdrop) and set
--   USERDROP_DATABASE_URL=postgresql+psycopg://userdrop:PASSWORD@HOST/userdrop
-- userdrop makes and changes its own tables, so it owns its schema; what it stages lies in temporary tables.

CREATE ROLE userdrop LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;

CREATE DATABASE userdrop ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE userdrop FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE userdrop TO userdrop;

\connect userdrop
REVOKE ALL ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA userdrop AUTHORIZATION userdrop;
ALTER ROLE userdrop IN DATABASE userdrop SET search_path = userdrop;
