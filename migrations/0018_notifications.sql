-- Deviation: the document lists this table and does not define it. A queue: what is pending and due
-- is taken, tried, and marked as sent or failed.
CREATE TABLE notifications (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL,
    -- The signal that it is about, if any. No foreign key: a signal's row that was deleted comes
    -- back with the same id from the journal, and must not be announced a second time.
    signal_id UUID,

    channel notification_channel NOT NULL,
    type VARCHAR(50) NOT NULL,  -- 'signal', 'order_filled', etc.
    payload JSONB NOT NULL,

    -- Delivery
    status notification_status NOT NULL DEFAULT 'pending',
    attempts INTEGER NOT NULL DEFAULT 0 CONSTRAINT ck_notifications_attempts CHECK (attempts >= 0),
    error TEXT,  -- of the last attempt

    -- Timestamps
    scheduled_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW(),  -- not before
    sent_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),

    CONSTRAINT fk_notifications_user_id
        FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
    -- A repeat cannot be queued twice. Its index finds a user's notifications, too.
    CONSTRAINT uq_notifications_user_id_signal_id_channel UNIQUE (user_id, signal_id, channel),
    CONSTRAINT ck_notifications_sent_at CHECK (status <> 'sent' OR sent_at IS NOT NULL)
);

-- What is due; small however long the history grows.
CREATE INDEX idx_notifications_due ON notifications(scheduled_at) WHERE status = 'pending';

CREATE TRIGGER trg_notifications_updated_at BEFORE UPDATE ON notifications
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
