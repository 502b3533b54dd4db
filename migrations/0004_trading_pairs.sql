CREATE TABLE trading_pairs (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    -- Deviation: UNIQUE in the document, which would forbid BTC/USDT on two exchanges; only
    -- uq_trading_pair_exchange below is kept. VARCHAR(20) there: listed symbols have up to 25
    -- characters.
    symbol VARCHAR(64) NOT NULL,            -- e.g., 'BTC/USDT'
    -- Deviation: VARCHAR(10) in the document; listed currencies have up to 15 characters.
    base_currency VARCHAR(32) NOT NULL,     -- e.g., 'BTC'
    quote_currency VARCHAR(32) NOT NULL,    -- e.g., 'USDT'
    exchange VARCHAR(50) NOT NULL,          -- e.g., 'binance'

    -- Trading parameters
    is_active BOOLEAN DEFAULT true,
    -- Deviation: DECIMAL(20,8) in the document; real amounts and prices reach 1e-13. Checked: 0 is
    -- "the exchange names no smallest order", but there is no largest order of 0.
    min_order_size NUMERIC(38,18) NOT NULL
        CONSTRAINT ck_trading_pairs_min_order_size CHECK (min_order_size >= 0),
    max_order_size NUMERIC(38,18)
        CONSTRAINT ck_trading_pairs_max_order_size CHECK (max_order_size > 0),
    price_precision INTEGER DEFAULT 8,
    quantity_precision INTEGER DEFAULT 8,

    -- Fees
    -- Deviation: DECIMAL(6,4) in the document; real fees reach 0.00015.
    maker_fee NUMERIC(10,8) DEFAULT 0.001,
    taker_fee NUMERIC(10,8) DEFAULT 0.001,

    -- Metadata
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),

    CONSTRAINT uq_trading_pair_exchange UNIQUE(symbol, exchange)
);

CREATE INDEX idx_trading_pairs_symbol ON trading_pairs(symbol);
CREATE INDEX idx_trading_pairs_exchange ON trading_pairs(exchange);
CREATE INDEX idx_trading_pairs_active ON trading_pairs(is_active);

-- Deviation: see 0002.
CREATE TRIGGER trg_trading_pairs_updated_at BEFORE UPDATE ON trading_pairs
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
