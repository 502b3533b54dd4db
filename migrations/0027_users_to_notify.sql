-- Deviation: added. Those who want to be told of signals, few among all users.
CREATE INDEX idx_users_notified_of_signals ON users(id)
    WHERE is_active AND notification_preferences ? 'signals';

COMMENT ON COLUMN users.notification_preferences IS
    'Whom the daemon notifies of a signal: {"signals": {…}}. In it, each may be left out: "enabled" '
    '(true), "min_confidence" and "min_strength" (0 to 1), "symbols", "exchanges", "strategies" and '
    '"types" (lists; a symbol may hold * for any characters; without a list all of them), "channels" '
    '(list of telegram, email, push, redis; ["redis"])';
