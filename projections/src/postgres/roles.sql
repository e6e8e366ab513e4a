-- The roles of the read models, for whoever may make roles; a login is granted those that it needs.
-- loyalnest_migrator owns the schema, loyalnest_projector folds events into the tables and makes them,
-- loyalnest_reader answers queries and sees the rows of one merchant at a time.
DO $$
DECLARE role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['loyalnest_migrator', 'loyalnest_projector', 'loyalnest_reader'] LOOP
        IF to_regrole(role_name) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another node was faster
            END;
        END IF;
        IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
            EXECUTE format('GRANT %I TO %I', role_name, current_user);
        END IF;
    END LOOP;
END
$$;
