-- Deviation: the document lists this table and does not define it. Who changed what, written by
-- triggers alone, never changed.
CREATE TABLE audit_logs (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    -- Whose row it is; no foreign key, for the log outlives the user. NULL for system_config.
    user_id UUID,
    -- Who did it: app.current_user_id, if set; the role that logged in, and the one it acted as.
    actor_id UUID,
    login_role NAME NOT NULL DEFAULT session_user,
    acting_role NAME NOT NULL,
    application_name TEXT,
    client_address INET,

    action audit_action NOT NULL,
    table_name NAME NOT NULL,
    record_id TEXT,  -- the row's id, or the key of system_config; NULL for truncate
    -- The columns that changed, before and after; all of them for insert and delete. Of a column
    -- that holds a secret or a hash only that it changed. Neither for archive: the row is in
    -- orders_archive.
    old_values JSONB,
    new_values JSONB,

    -- Within a transaction, too, in order
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX idx_audit_logs_user_id ON audit_logs(user_id);
CREATE INDEX idx_audit_logs_table_name_record_id ON audit_logs(table_name, record_id);
CREATE INDEX idx_audit_logs_created_at ON audit_logs(created_at);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: it is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER trg_audit_logs_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A row without what is secret in it, and without what changes at each use.
CREATE FUNCTION audit_values(whole JSONB) RETURNS JSONB LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_object_agg(key, CASE
            WHEN value <> 'null' AND key ~ 'password|passphrase|secret|token|hash|encrypted'
            THEN to_jsonb('[secret]'::text) ELSE value END)
    FROM jsonb_each(whole)
    WHERE key NOT IN ('updated_at', 'last_used_at', 'last_activity_at')
$$;

-- As its owner, so that a role needs no right to write the log.
CREATE FUNCTION write_audit_log() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    action public.audit_action := lower(TG_OP);
    before JSONB;
    after JSONB;
    whole JSONB;
BEGIN
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        after := to_jsonb(NEW);
        whole := after;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        -- Compared before secrets are replaced, so that a changed one is seen.
        SELECT jsonb_object_agg(o.key, o.value), jsonb_object_agg(n.key, n.value)
            INTO before, after
            FROM jsonb_each(to_jsonb(OLD)) o JOIN jsonb_each(after) n USING (key)
            WHERE o.value <> n.value;
    ELSIF TG_OP = 'DELETE' THEN
        before := to_jsonb(OLD);
        whole := before;
        IF TG_TABLE_NAME = 'orders' THEN
            -- Fired when the statement has ended, so what it moved to the archive is there.
            IF EXISTS (SELECT FROM public.orders_archive WHERE id = OLD.id) THEN
                action := 'archive';
                before := NULL;
            END IF;
        END IF;
    END IF;
    before := public.audit_values(before);
    after := public.audit_values(after);
    IF TG_OP = 'UPDATE' AND after IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO public.audit_logs (user_id, actor_id, acting_role, application_name,
        client_address, action, table_name, record_id, old_values, new_values)
    VALUES (
        (CASE TG_TABLE_NAME WHEN 'users' THEN whole ->> 'id' ELSE whole ->> 'user_id' END)::uuid,
        NULLIF(current_setting('app.current_user_id', true), '')::uuid,
        -- Within this function current_user is its owner.
        COALESCE(NULLIF(current_setting('role'), 'none'), session_user),
        NULLIF(current_setting('application_name'), ''),
        inet_client_addr(),
        action,
        TG_TABLE_NAME,
        COALESCE(whole ->> 'id', whole ->> 'key'),
        before,
        after);
    RETURN NULL;
END
$$;

DO $$
DECLARE
    tab NAME;
BEGIN
    FOREACH tab IN ARRAY ARRAY['users', 'user_api_keys', 'orders', 'system_config'] LOOP
        EXECUTE format('CREATE TRIGGER trg_%1$s_audit AFTER INSERT OR UPDATE OR DELETE ON %1$I
            FOR EACH ROW EXECUTE FUNCTION write_audit_log()', tab);
        EXECUTE format('CREATE TRIGGER trg_%1$s_audit_truncate AFTER TRUNCATE ON %1$I
            FOR EACH STATEMENT EXECUTE FUNCTION write_audit_log()', tab);
    END LOOP;
END
$$;
