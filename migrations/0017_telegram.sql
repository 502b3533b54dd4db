CREATE TABLE telegram_users (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    -- Deviation: the reference is the named one at the end, as in the document's list.
    user_id UUID,  -- NULL for unregistered users
    telegram_id BIGINT UNIQUE NOT NULL,

    -- User info
    username VARCHAR(100),
    first_name VARCHAR(100),
    last_name VARCHAR(100),
    language_code VARCHAR(10) DEFAULT 'en',

    -- Status and settings
    status telegram_user_status DEFAULT 'pending',
    is_bot_blocked BOOLEAN DEFAULT false,
    notifications_enabled BOOLEAN DEFAULT true,
    notification_types JSONB,

    -- Preferences
    timezone VARCHAR(50) DEFAULT 'UTC',
    preferred_currency VARCHAR(10) DEFAULT 'USD',

    -- Usage tracking
    total_messages INTEGER DEFAULT 0,
    total_commands INTEGER DEFAULT 0,
    last_activity_at TIMESTAMP WITH TIME ZONE,

    -- Registration
    registration_code VARCHAR(50) UNIQUE,
    is_verified BOOLEAN DEFAULT false,
    verified_at TIMESTAMP WITH TIME ZONE,

    -- Rate limiting
    daily_message_count INTEGER DEFAULT 0,
    daily_command_count INTEGER DEFAULT 0,
    rate_limit_reset_at TIMESTAMP WITH TIME ZONE DEFAULT DATE_TRUNC('day', NOW() + INTERVAL '1 day'),

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),

    CONSTRAINT fk_telegram_users_user_id
        FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE SET NULL
);

CREATE INDEX idx_telegram_users_telegram_id ON telegram_users(telegram_id);
CREATE INDEX idx_telegram_users_user_id ON telegram_users(user_id);
CREATE INDEX idx_telegram_users_status ON telegram_users(status);

-- Deviation: see 0002.
CREATE TRIGGER trg_telegram_users_updated_at BEFORE UPDATE ON telegram_users
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

-- Deviation: the document lists this table and does not define it.
CREATE TABLE telegram_messages (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    telegram_user_id UUID NOT NULL,
    user_id UUID,  -- NULL as long as the chat belongs to no user

    direction message_direction NOT NULL,
    chat_id BIGINT NOT NULL,
    message_id BIGINT NOT NULL,  -- Telegram's number of it in the chat
    text TEXT,
    command VARCHAR(100),        -- e.g., '/signals'; NULL for plain text
    ai_command_id UUID,          -- what it asked of the AI

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),

    CONSTRAINT fk_telegram_messages_telegram_user_id
        FOREIGN KEY (telegram_user_id) REFERENCES telegram_users(id) ON DELETE CASCADE,
    CONSTRAINT fk_telegram_messages_user_id
        FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE SET NULL,
    CONSTRAINT fk_telegram_messages_ai_command_id
        FOREIGN KEY (ai_command_id) REFERENCES ai_commands(id) ON DELETE SET NULL,
    -- Telegram delivers an update again until it was acknowledged.
    CONSTRAINT uq_telegram_messages_chat_id_message_id UNIQUE (chat_id, message_id)
);

CREATE INDEX idx_telegram_messages_telegram_user_id ON telegram_messages(telegram_user_id);
CREATE INDEX idx_telegram_messages_user_id ON telegram_messages(user_id);
CREATE INDEX idx_telegram_messages_ai_command_id ON telegram_messages(ai_command_id)
    WHERE ai_command_id IS NOT NULL;
CREATE INDEX idx_telegram_messages_created_at ON telegram_messages(created_at);
