-- Deviation: the document lists this table and does not define it. Settings that an operator
-- changes in SQL while daemons run; never secrets, for readonly and the audit log see them.
CREATE TABLE system_config (
    key VARCHAR(100) PRIMARY KEY,  -- e.g., 'strategies.ema_cross.enabled'
    value JSONB NOT NULL,
    description TEXT,
    updated_by UUID,  -- NULL where it was changed by a role of the database alone

    -- Metadata
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),

    CONSTRAINT fk_system_config_updated_by
        FOREIGN KEY (updated_by) REFERENCES users(id) ON DELETE SET NULL
);

CREATE TRIGGER trg_system_config_updated_at BEFORE UPDATE ON system_config
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

-- Tells who listens on channel system_config which key has changed, come or gone; at commit.
CREATE FUNCTION notify_system_config() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM pg_notify('system_config', '');  -- all of them
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('system_config', OLD.key);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('system_config', NEW.key);  -- the same one twice is sent once
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER trg_system_config_notify AFTER INSERT OR UPDATE OR DELETE ON system_config
    FOR EACH ROW EXECUTE FUNCTION notify_system_config();
CREATE TRIGGER trg_system_config_notify_truncate AFTER TRUNCATE ON system_config
    FOR EACH STATEMENT EXECUTE FUNCTION notify_system_config();
