-- Deviation: the document lists this table and does not define it. One row for each fill.
CREATE TABLE trades (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL,
    portfolio_id UUID NOT NULL,
    trading_pair_id UUID NOT NULL,

    -- The order that was filled: in order_id as long as it is in orders, in archived_order_id once
    -- it is in orders_archive, so that each is a real reference. Archival moves both in one
    -- statement. Neither key has an ON DELETE: an order with fills cannot vanish in any other way,
    -- and a fill that arrives while its order is being archived fails that batch instead of losing
    -- its order. Both are NULL where the exchange named no order of ours.
    order_id UUID,
    archived_order_id UUID,

    exchange_trade_id VARCHAR(100),  -- NULL for a fill that no exchange numbered
    side order_side NOT NULL,
    price NUMERIC(38,18) NOT NULL CONSTRAINT ck_trades_price CHECK (price > 0),
    amount NUMERIC(38,18) NOT NULL CONSTRAINT ck_trades_amount CHECK (amount > 0),
    fee NUMERIC(38,18) NOT NULL DEFAULT 0,  -- negative: a rebate
    fee_currency VARCHAR(32),
    is_maker BOOLEAN,

    -- Timestamps
    executed_at TIMESTAMP WITH TIME ZONE NOT NULL,  -- by the exchange's clock
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),

    CONSTRAINT fk_trades_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
    CONSTRAINT fk_trades_portfolio_id
        FOREIGN KEY (portfolio_id) REFERENCES portfolios(id) ON DELETE CASCADE,
    CONSTRAINT fk_trades_trading_pair_id
        FOREIGN KEY (trading_pair_id) REFERENCES trading_pairs(id),
    CONSTRAINT fk_trades_order_id FOREIGN KEY (order_id) REFERENCES orders(id),
    CONSTRAINT fk_trades_archived_order_id
        FOREIGN KEY (archived_order_id) REFERENCES orders_archive(id),
    CONSTRAINT ck_trades_one_order CHECK (num_nonnulls(order_id, archived_order_id) <= 1),
    -- Exchanges number trades within a pair. With the side and the user, because two users may be
    -- the two sides of one trade, and one user both. Its index finds a user's trades, too.
    CONSTRAINT uq_trades_exchange_trade
        UNIQUE (user_id, trading_pair_id, exchange_trade_id, side)
);

CREATE INDEX idx_trades_portfolio_id ON trades(portfolio_id);
CREATE INDEX idx_trades_trading_pair_id ON trades(trading_pair_id);
CREATE INDEX idx_trades_order_id ON trades(order_id) WHERE order_id IS NOT NULL;
CREATE INDEX idx_trades_archived_order_id ON trades(archived_order_id)
    WHERE archived_order_id IS NOT NULL;
CREATE INDEX idx_trades_executed_at ON trades(executed_at);
