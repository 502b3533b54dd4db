-- Deviation: the document protects portfolios alone. Every table whose rows belong to a user is
-- protected, against the tables' owner, too (FORCE): who has no policy sees no row. The policies
-- are made with the roles they are for: see 0024.
DO $$
DECLARE
    tab NAME;
BEGIN
    FOREACH tab IN ARRAY ARRAY['portfolios', 'orders', 'orders_archive', 'positions', 'trades',
        'balances', 'ai_commands', 'ai_responses', 'notifications', 'telegram_users',
        'telegram_messages', 'user_api_keys', 'user_sessions', 'audit_logs'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tab);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tab);
    END LOOP;
END
$$;

-- The owner's trigger appends; nobody else has the right to (see 0024).
CREATE POLICY audit_log_append_policy ON audit_logs FOR INSERT WITH CHECK (true);
