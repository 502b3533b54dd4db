-- The closed sets of orders, positions and Telegram, as the schema document names them.

CREATE TYPE order_type AS ENUM ('market', 'limit', 'stop', 'stop_limit', 'trailing_stop');

CREATE TYPE order_side AS ENUM ('buy', 'sell');

CREATE TYPE order_status AS ENUM ('pending', 'open', 'partially_filled', 'filled', 'cancelled', 'rejected', 'expired');

CREATE TYPE position_status AS ENUM ('open', 'closed', 'partially_closed');

CREATE TYPE telegram_user_status AS ENUM ('active', 'blocked', 'banned', 'pending');

-- Deviation: the tables that the document lists and does not define have closed sets, too.

CREATE TYPE market_trend AS ENUM ('up', 'down', 'sideways');

CREATE TYPE message_direction AS ENUM ('incoming', 'outgoing');

CREATE TYPE notification_channel AS ENUM ('telegram', 'email', 'push', 'redis');

CREATE TYPE notification_status AS ENUM ('pending', 'sent', 'failed', 'cancelled');

CREATE TYPE audit_action AS ENUM ('insert', 'update', 'delete', 'truncate', 'archive');
