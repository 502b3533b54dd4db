-- Roles, grants and policies. Roles belong to the cluster and may be missing here: the migrating
-- login has no CREATEROLE, or a dump was restored elsewhere. So what depends on them is made by
-- functions that can be run again: rights_missing() says what is not as it should be,
-- apply_rights() mends what the one who runs it may mend. `tickforge migrate` runs both.

-- The policies by table. "Mine" is the row of the user whom the transaction has named by
-- set_config('app.current_user_id', ID, true).
CREATE FUNCTION row_policies()
    RETURNS TABLE (tab NAME, policy NAME, role NAME, command TEXT, visible TEXT, allowed TEXT)
    LANGUAGE sql STABLE AS $$
    WITH said(me, token, chat, code) AS (
        -- Deviation: current_setting(…) of the document raises where it was never set and gives ''
        -- after a SET LOCAL has ended; this gives NULL, which equals no user.
        SELECT $me$NULLIF(current_setting('app.current_user_id', true), '')::uuid$me$,
            $t$NULLIF(current_setting('app.session_token', true), '')$t$,
            $c$NULLIF(current_setting('app.telegram_id', true), '')::bigint$c$,
            $r$NULLIF(current_setting('app.registration_code', true), '')$r$
    ),
    owned(tab, prefix, also) AS (
        -- What a row refers to must be mine, too: foreign keys see everybody's rows.
        SELECT t.tab, t.prefix, (
            SELECT string_agg(format(' AND (%1$I.%2$I IS NULL OR EXISTS (SELECT FROM %3$I r
                WHERE r.id = %1$I.%2$I AND r.user_id = %4$s))',
                t.tab, split_part(ref, '>', 1), split_part(ref, '>', 2), said.me), '')
            FROM unnest(t.refs) ref)
        FROM said, (VALUES
            ('portfolios', 'portfolio', '{}'::text[]),
            ('orders', 'order', '{portfolio_id>portfolios,ai_command_id>ai_commands}'),
            ('orders_archive', 'order_archive', '{portfolio_id>portfolios}'),
            ('positions', 'position', '{portfolio_id>portfolios}'),
            ('trades', 'trade', '{portfolio_id>portfolios,order_id>orders,'
                'archived_order_id>orders_archive}'),
            ('balances', 'balance', '{portfolio_id>portfolios}'),
            ('ai_commands', 'ai_command', '{}'),
            ('ai_responses', 'ai_response', '{command_id>ai_commands}'),
            ('notifications', 'notification', '{}'),
            ('telegram_users', 'telegram_user', '{}'),
            ('telegram_messages', 'telegram_message',
                '{telegram_user_id>telegram_users,ai_command_id>ai_commands}'),
            ('user_api_keys', 'user_api_key', '{}'),
            ('user_sessions', 'user_session', '{}'),
            ('audit_logs', 'audit_log', '{}')
        ) AS t(tab, prefix, refs)
    )
    -- The application sees and writes what is mine; its own audit log it only reads.
    SELECT tab, prefix || '_user_policy', 'trading_bot_app',
        CASE tab WHEN 'audit_logs' THEN 'SELECT' ELSE 'ALL' END,
        format('user_id = %s', me),
        CASE tab WHEN 'audit_logs' THEN NULL ELSE format('user_id = %s%s', me, also) END
    FROM owned, said
    UNION ALL
    SELECT tab, prefix || '_readonly_policy', 'trading_bot_readonly', 'SELECT', 'true', NULL
    FROM owned
    UNION ALL
    SELECT tab, prefix || '_admin_policy', 'trading_bot_admin', 'ALL', 'true', 'true' FROM owned
    UNION ALL
    SELECT tab, policy, 'trading_bot_engine', command, visible, allowed
    FROM (VALUES
        ('portfolios', 'portfolio_engine_policy', 'SELECT', 'true', NULL),
        ('trades', 'trade_engine_policy', 'SELECT', 'true', NULL),
        ('telegram_users', 'telegram_user_engine_policy', 'SELECT', 'true', NULL),
        ('positions', 'position_engine_policy', 'ALL', 'true', 'true'),
        ('notifications', 'notification_engine_policy', 'ALL', 'true', 'true')
    ) AS e(tab, policy, command, visible, allowed)
    UNION ALL
    -- Before the user is known: who shows a session's token finds that session, and who speaks for
    -- a Telegram chat finds that chat, and writes to it as long as it belongs to nobody.
    SELECT 'user_sessions', 'user_session_token_policy', 'trading_bot_app', 'SELECT',
        format('session_token = %1$s OR refresh_token = %1$s', token), NULL
    FROM said
    UNION ALL
    SELECT 'telegram_users', 'telegram_user_chat_policy', 'trading_bot_app', 'SELECT',
        format('telegram_id = %s', chat), NULL
    FROM said
    UNION ALL
    SELECT 'telegram_users', 'telegram_user_stranger_policy', 'trading_bot_app', 'ALL',
        format('user_id IS NULL AND telegram_id = %s', chat),
        format('user_id IS NULL AND telegram_id = %s', chat)
    FROM said
    UNION ALL
    SELECT 'telegram_messages', 'telegram_message_stranger_policy', 'trading_bot_app', 'ALL', s, s
    FROM said, format('user_id IS NULL AND EXISTS (SELECT FROM telegram_users r
        WHERE r.id = telegram_user_id AND r.telegram_id = %s)', chat) s
    UNION ALL
    -- A user takes over the chat whose registration code they were shown there.
    SELECT 'telegram_users', 'telegram_user_code_' || lower(command) || '_policy',
        'trading_bot_app', command, format('user_id IS NULL AND registration_code = %s', code),
        CASE command WHEN 'UPDATE' THEN format('user_id = %s', me) END
    FROM said, unnest(ARRAY['SELECT', 'UPDATE']) command
$$;

-- What the daemon does and nothing else: lists pairs, stores signals and follows them through their
-- life, writes analyses, marks positions, reads fills for performance, and queues notifications for
-- users whose preferences match. Columns are named where the rest of the row is none of its
-- business.
CREATE FUNCTION engine_grants() RETURNS TABLE (tab NAME, privilege TEXT, columns TEXT)
    LANGUAGE sql IMMUTABLE AS $$
    VALUES
        ('_sqlx_migrations', 'SELECT', NULL),
        ('trading_pairs', 'SELECT', NULL),
        ('trading_pairs', 'INSERT', NULL),
        ('trading_pairs', 'UPDATE', NULL),
        ('trading_signals', 'SELECT', NULL),
        ('trading_signals', 'INSERT', NULL),
        ('trading_signals', 'UPDATE',
            'is_active, actual_outcome, accuracy_score, market_conditions, executed_at, '
            'expired_at'),
        ('market_analysis', 'SELECT', NULL),
        ('market_analysis', 'INSERT', NULL),
        ('system_config', 'SELECT', NULL),
        ('portfolios', 'SELECT', NULL),
        ('positions', 'SELECT', NULL),
        ('positions', 'UPDATE', 'current_price, unrealized_pnl'),
        ('trades', 'SELECT', NULL),
        ('notifications', 'SELECT', NULL),
        ('notifications', 'INSERT', NULL),
        ('notifications', 'UPDATE', 'status, attempts, error, scheduled_at, sent_at'),
        ('users', 'SELECT', 'id, is_active, notification_preferences'),
        ('telegram_users', 'SELECT',
            'user_id, telegram_id, status, is_bot_blocked, notifications_enabled, '
            'notification_types')
$$;

-- The rights of all roles on the tables that are here.
CREATE FUNCTION table_grants()
    RETURNS TABLE (role NAME, tab NAME, privilege TEXT, columns TEXT)
    LANGUAGE sql STABLE AS $$
    SELECT w.role, t.tablename, w.privilege, NULL
    FROM pg_tables t, (
        SELECT 'trading_bot_app', p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
        UNION ALL VALUES ('trading_bot_readonly', 'SELECT'), ('trading_bot_backup', 'SELECT')
        UNION ALL SELECT 'trading_bot_admin', p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE',
            'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p
    ) AS w(role, privilege)
    WHERE t.schemaname = 'public'
        -- Deviation: not these two. Triggers write the one, migrations the other.
        AND NOT (w.role = 'trading_bot_app' AND w.privilege <> 'SELECT'
            AND t.tablename IN ('audit_logs', '_sqlx_migrations'))
    UNION ALL
    SELECT 'trading_bot_engine', tab, privilege, columns FROM engine_grants()
$$;

-- What is not as it should be, with what to do about it, a line each; nothing where all is right.
CREATE FUNCTION rights_missing() RETURNS SETOF TEXT LANGUAGE plpgsql STABLE AS $$
DECLARE
    roles CONSTANT NAME[] := ARRAY['trading_bot_app', 'trading_bot_readonly', 'trading_bot_admin',
        'trading_bot_engine', 'trading_bot_backup'];
    mend CONSTANT TEXT := 'run `tickforge migrate` as the tables'' owner';
BEGIN
    RETURN QUERY SELECT format('no role %s: run `tickforge migrate` as a login with CREATEROLE (a '
            'superuser for trading_bot_backup)', string_agg(named, ', '))
        FROM unnest(roles) named
        WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = named)
        HAVING count(*) > 0;
    RETURN QUERY SELECT 'trading_bot_backup does not see all rows: a superuser runs '
            'ALTER ROLE trading_bot_backup BYPASSRLS'
        FROM pg_roles WHERE rolname = 'trading_bot_backup' AND NOT rolbypassrls;
    RETURN QUERY SELECT format('%s is a member of no role and sees no user''s rows: '
            'a superuser runs GRANT trading_bot_engine TO %I', current_user, current_user)
        FROM pg_roles me WHERE rolname = current_user AND NOT rolsuper AND NOT rolbypassrls
            AND NOT EXISTS (SELECT FROM pg_roles
                WHERE rolname = ANY (roles) AND pg_has_role(oid, 'USAGE'));
    RETURN QUERY SELECT format('trading_bot_app may not make the temporary tables by which '
            'API keys are encrypted: the database''s owner runs GRANT TEMPORARY ON DATABASE %I TO '
            'trading_bot_app', current_database())
        FROM pg_roles WHERE rolname = 'trading_bot_app'
            AND NOT has_database_privilege(oid, current_database(), 'TEMPORARY');
    RETURN QUERY SELECT 'no extension pgcrypto, which encrypts API keys: install the server''s '
            'contrib package, then the database''s owner runs CREATE EXTENSION pgcrypto'
        WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pgcrypto');
    RETURN QUERY SELECT format('row security is not forced on %s: their owner runs '
            'ALTER TABLE … ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY',
            string_agg(relname, ', '))
        FROM pg_class
        WHERE relnamespace = 'public'::regnamespace
            AND relname IN (SELECT tab FROM row_policies())
            AND NOT (relrowsecurity AND relforcerowsecurity)
        HAVING count(*) > 0;
    RETURN QUERY SELECT format('%s lacks its policy on %s: %s', p.role,
            string_agg(DISTINCT p.tab, ', '), mend)
        FROM row_policies() p JOIN pg_roles r ON r.rolname = p.role
        WHERE NOT EXISTS (SELECT FROM pg_policies h WHERE h.schemaname = 'public'
            AND h.tablename = p.tab AND h.policyname = p.policy AND h.cmd = p.command)
        GROUP BY p.role;
    RETURN QUERY SELECT format('%s lacks rights on %s: %s', g.role,
            string_agg(DISTINCT g.tab, ', '), mend)
        FROM table_grants() g
        JOIN pg_roles ON rolname = g.role
        JOIN pg_class c ON c.relname = g.tab AND c.relnamespace = 'public'::regnamespace
        WHERE CASE WHEN g.columns IS NULL THEN NOT has_table_privilege(g.role, c.oid, g.privilege)
            ELSE EXISTS (SELECT FROM unnest(string_to_array(g.columns, ', ')) col
                WHERE NOT has_column_privilege(g.role, c.oid, col, g.privilege)) END
        GROUP BY g.role;
END
$$;

CREATE FUNCTION apply_rights() RETURNS void LANGUAGE plpgsql
    SET client_min_messages = warning AS $$
DECLARE
    named NAME;
    item RECORD;
    owner NAME;
BEGIN
    -- Two databases of one cluster may be migrated at once: who comes second finds the role there.
    FOREACH named IN ARRAY ARRAY['trading_bot_app', 'trading_bot_readonly', 'trading_bot_admin',
        'trading_bot_engine', 'trading_bot_backup'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = named);
        BEGIN
            EXECUTE format('CREATE ROLE %I%s', named,
                CASE named WHEN 'trading_bot_backup' THEN ' BYPASSRLS' ELSE '' END);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'role % is missing and % may not create it', named, current_user;
        END;
    END LOOP;

    SELECT tableowner INTO STRICT owner FROM pg_tables
        WHERE schemaname = 'public' AND tablename = 'users';
    -- The owner of the tables is subject to the policies like anybody. It may lift them, so it
    -- gains nothing by being an administrator, and can serve as the one login of a small
    -- installation.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'trading_bot_admin'
            AND NOT pg_has_role(owner, oid, 'USAGE')) THEN
        BEGIN
            EXECUTE format('GRANT trading_bot_admin TO %I', owner);
        EXCEPTION
            WHEN unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING '% may not grant trading_bot_admin to %', current_user, owner;
        END;
    END IF;

    FOR item IN SELECT p.* FROM row_policies() p JOIN pg_roles r ON r.rolname = p.role LOOP
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', item.policy, item.tab);
        EXECUTE format('CREATE POLICY %I ON %I FOR %s TO %I USING (%s)%s', item.policy, item.tab,
            item.command, item.role, item.visible,
            COALESCE(' WITH CHECK (' || item.allowed || ')', ''));
    END LOOP;

    FOR item IN SELECT * FROM (VALUES
            ('trading_bot_app', 'SELECT, INSERT, UPDATE, DELETE'),
            ('trading_bot_readonly', 'SELECT'),
            ('trading_bot_admin', 'ALL PRIVILEGES'),
            ('trading_bot_engine', NULL),
            ('trading_bot_backup', 'SELECT')
        ) AS g(role, rights) JOIN pg_roles ON rolname = role LOOP
        IF NOT has_schema_privilege(item.role, 'public', 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', item.role);
        END IF;
        CONTINUE WHEN item.rights IS NULL;
        EXECUTE format('GRANT %s ON ALL TABLES IN SCHEMA public TO %I', item.rights, item.role);
        -- For tables to come, whoever runs this.
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public '
            'GRANT %s ON TABLES TO %I', owner, item.rights, item.role);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'trading_bot_app') THEN
        REVOKE INSERT, UPDATE, DELETE ON audit_logs, _sqlx_migrations FROM trading_bot_app;
        IF NOT has_database_privilege('trading_bot_app', current_database(), 'TEMPORARY') THEN
            EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO trading_bot_app', current_database());
        END IF;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'trading_bot_engine') THEN
        REVOKE ALL PRIVILEGES ON ALL TABLES IN SCHEMA public FROM trading_bot_engine;
        FOR item IN SELECT * FROM engine_grants() LOOP
            EXECUTE format('GRANT %s%s ON %I TO trading_bot_engine', item.privilege,
                COALESCE(' (' || item.columns || ')', ''), item.tab);
        END LOOP;
    END IF;
END
$$;

DO $$
BEGIN
    PERFORM apply_rights();
END
$$;
