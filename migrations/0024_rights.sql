-- Roles, grants and policies. Roles belong to the cluster and may be missing here: the migrating login
-- has no CREATEROLE, or a dump was restored elsewhere. So what depends on them is made by functions that
-- can be run again: rights_missing() says what is not as it should be, apply_rights() mends what the
-- one who runs it may mend. `tickforge migrate` runs both.

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
    -- Before the user is known: who shows a session's token finds that session, and who speaks for a
    -- Telegram chat finds that chat, and writes to it as long as it belongs to nobody.
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
-- users whose preferences match. Columns are named where the rest of the row is none of its business.
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
            'is_active, actual_outcome, accuracy_score, market_conditions, executed_at, expired_at'),
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
            'user_id, telegram_id, status, is_bot_blocked, notifications_enabled, notification_types')
$$;

-- What is not as it should be, with what to do about it; nothing where all is right.
CREATE FUNCTION rights_missing() RETURNS SETOF TEXT LANGUAGE plpgsql STABLE AS $$
DECLARE
    named NAME;
BEGIN
    FOREACH named IN ARRAY ARRAY['trading_bot_app', 'trading_bot_readonly', 'trading_bot_admin',
        'trading_bot_engine', 'trading_bot_backup'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = named) THEN
            RETURN NEXT format('role %s is missing: '
                'run `tickforge migrate` as a login with CREATEROLE%s', named, CASE named WHEN 'trading_bot_backup' THEN
                ', or a superuser runs CREATE ROLE trading_bot_backup BYPASSRLS' ELSE '' END);
        END IF;
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'trading_bot_backup' AND NOT rolbypassrls) THEN
        RETURN NEXT 'role trading_bot_backup cannot see all rows: a superuser runs '
            'ALTER ROLE trading_bot_backup BYPASSRLS';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = current_user
            AND (rolsuper OR rolbypassrls)) AND NOT EXISTS (SELECT FROM pg_roles
            WHERE rolname IN ('trading_bot_app', 'trading_bot_readonly', 'trading_bot_admin',
                'trading_bot_engine') AND pg_has_role(oid, 'USAGE')) THEN
        RETURN NEXT format('login %s belongs to none of the roles and sees no user''s rows: '
            'a superuser runs GRANT trading_bot_engine TO %I', current_user, current_user);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'trading_bot_app'
            AND NOT has_database_privilege(oid, current_database(), 'TEMPORARY')) THEN
        RETURN NEXT format('trading_bot_app lacks TEMPORARY, which encrypting API keys needs: the '
            'database''s owner runs GRANT TEMPORARY ON DATABASE %I TO trading_bot_app',
            current_database());
    END IF;
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pgcrypto') THEN
        RETURN NEXT 'extension pgcrypto is missing, which encrypts API keys: install the server''s '
            'contrib package, then the database''s owner runs CREATE EXTENSION pgcrypto';
    END IF;
    RETURN QUERY
        SELECT format('policy %s on %s is missing: run `tickforge migrate` as the tables'' owner',
            p.policy, p.tab)
        FROM row_policies() p JOIN pg_roles r ON r.rolname = p.role
        WHERE NOT EXISTS (SELECT FROM pg_policies h WHERE h.schemaname = 'public'
            AND h.tablename = p.tab AND h.policyname = p.policy AND h.cmd = p.command);
    RETURN QUERY
        SELECT format('%s lacks %s on %s: run `tickforge migrate` as the tables'' owner',
            rolname, privilege, tab)
        FROM (
            SELECT 'trading_bot_app' AS role, tablename AS tab, privilege, NULL AS columns
            FROM pg_tables, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) privilege
            WHERE schemaname = 'public' AND (privilege = 'SELECT'
                OR tablename NOT IN ('audit_logs', '_sqlx_migrations'))
            UNION ALL
            SELECT role, tablename, 'SELECT', NULL
            FROM pg_tables, unnest(ARRAY['trading_bot_readonly', 'trading_bot_backup']) role
            WHERE schemaname = 'public'
            UNION ALL
            SELECT 'trading_bot_admin', tablename, privilege, NULL
            FROM pg_tables, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE',
                'REFERENCES', 'TRIGGER']) privilege
            WHERE schemaname = 'public'
            UNION ALL
            SELECT 'trading_bot_engine', tab, privilege, columns FROM engine_grants()
        ) AS wanted(role, tab, privilege, columns)
        JOIN pg_roles ON rolname = role
        JOIN pg_class c ON c.relname = tab AND c.relnamespace = 'public'::regnamespace
        WHERE CASE WHEN columns IS NULL THEN NOT has_table_privilege(role, c.oid, privilege)
            ELSE EXISTS (SELECT FROM unnest(string_to_array(columns, ', ')) col
                WHERE NOT has_column_privilege(role, c.oid, col, privilege)) END;
END
$$;

CREATE FUNCTION apply_rights() RETURNS void LANGUAGE plpgsql
    SET client_min_messages = warning AS $$
DECLARE
    named NAME;
    item RECORD;
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

    -- The owner of the tables is subject to the policies like anybody. It may lift them, so it gains
    -- nothing by being an administrator, and can serve as the one login of a small installation.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'trading_bot_admin'
            AND NOT pg_has_role(oid, 'USAGE')) THEN
        BEGIN
            EXECUTE format('GRANT trading_bot_admin TO %I', current_user);
        EXCEPTION
            WHEN unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING '% may not grant itself trading_bot_admin', current_user;
        END;
    END IF;

    FOR item IN SELECT p.* FROM row_policies() p JOIN pg_roles r ON r.rolname = p.role LOOP
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', item.policy, item.tab);
        EXECUTE format('CREATE POLICY %I ON %I FOR %s TO %I USING (%s)%s', item.policy, item.tab,
            item.command, item.role, item.visible,
            COALESCE(' WITH CHECK (' || item.allowed || ')', ''));
    END LOOP;

    FOR named IN SELECT rolname FROM pg_roles WHERE rolname IN ('trading_bot_app',
            'trading_bot_readonly', 'trading_bot_admin', 'trading_bot_engine', 'trading_bot_backup')
            AND NOT has_schema_privilege(oid, 'public', 'USAGE') LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', named);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'trading_bot_app') THEN
        IF NOT has_database_privilege('trading_bot_app', current_database(), 'TEMPORARY') THEN
            EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO trading_bot_app', current_database());
        END IF;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO trading_bot_app;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public
            GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO trading_bot_app;
        -- Deviation: not these two. Triggers write the one, migrations the other.
        REVOKE INSERT, UPDATE, DELETE ON audit_logs, _sqlx_migrations FROM trading_bot_app;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'trading_bot_readonly') THEN
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO trading_bot_readonly;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO trading_bot_readonly;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'trading_bot_admin') THEN
        GRANT ALL PRIVILEGES ON ALL TABLES IN SCHEMA public TO trading_bot_admin;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL PRIVILEGES ON TABLES TO trading_bot_admin;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'trading_bot_backup') THEN
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO trading_bot_backup;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO trading_bot_backup;
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
