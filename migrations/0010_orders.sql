CREATE TABLE orders (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    -- Deviation: the document references users, portfolios and trading_pairs here and again, by
    -- name, in its list of foreign keys; the named ones at the end of this table are kept.
    user_id UUID NOT NULL,
    portfolio_id UUID NOT NULL,
    trading_pair_id UUID NOT NULL,

    -- Order details
    exchange_order_id VARCHAR(100),  -- External exchange order ID
    type order_type NOT NULL,
    side order_side NOT NULL,
    status order_status DEFAULT 'pending',

    -- Quantities and prices
    -- Deviation: DECIMAL(20,8) in the document; real amounts and prices reach 1e-13. Checked where
    -- a zero makes no sense. A fee may be negative: a rebate.
    amount NUMERIC(38,18) NOT NULL CONSTRAINT ck_orders_amount CHECK (amount > 0),
    price NUMERIC(38,18)             -- NULL for market orders
        CONSTRAINT ck_orders_price CHECK (price > 0),
    stop_price NUMERIC(38,18)        -- For stop orders
        CONSTRAINT ck_orders_stop_price CHECK (stop_price > 0),
    filled_amount NUMERIC(38,18) DEFAULT 0
        CONSTRAINT ck_orders_filled_amount CHECK (filled_amount >= 0),
    remaining_amount NUMERIC(38,18)
        CONSTRAINT ck_orders_remaining_amount CHECK (remaining_amount >= 0),

    -- Execution details
    average_fill_price NUMERIC(38,18)
        CONSTRAINT ck_orders_average_fill_price CHECK (average_fill_price > 0),
    total_fee NUMERIC(38,18) DEFAULT 0,
    -- Deviation: VARCHAR(10) in the document; listed currencies have up to 15 characters.
    fee_currency VARCHAR(32),

    -- Order source
    source VARCHAR(50) DEFAULT 'manual', -- 'manual', 'ai', 'strategy', 'stop_loss', etc.
    ai_command_id UUID REFERENCES ai_commands(id),

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    submitted_at TIMESTAMP WITH TIME ZONE,
    filled_at TIMESTAMP WITH TIME ZONE,
    cancelled_at TIMESTAMP WITH TIME ZONE,

    CONSTRAINT fk_orders_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
    CONSTRAINT fk_orders_portfolio_id
        FOREIGN KEY (portfolio_id) REFERENCES portfolios(id) ON DELETE CASCADE,
    CONSTRAINT fk_orders_trading_pair_id
        FOREIGN KEY (trading_pair_id) REFERENCES trading_pairs(id)
);

CREATE INDEX idx_orders_user_id ON orders(user_id);
CREATE INDEX idx_orders_portfolio_id ON orders(portfolio_id);
CREATE INDEX idx_orders_status ON orders(status);
CREATE INDEX idx_orders_created_at ON orders(created_at);
CREATE INDEX idx_orders_exchange_order_id ON orders(exchange_order_id);
-- Deviation: added, for the check when a pair or a command is deleted.
CREATE INDEX idx_orders_trading_pair_id ON orders(trading_pair_id);
CREATE INDEX idx_orders_ai_command_id ON orders(ai_command_id) WHERE ai_command_id IS NOT NULL;

-- Deviation: see 0002.
CREATE TRIGGER trg_orders_updated_at BEFORE UPDATE ON orders
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
