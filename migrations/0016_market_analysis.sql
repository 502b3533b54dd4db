-- Deviation: the document lists this table and does not define it. What the daemon saw of a market
-- at one time, in one timeframe.
CREATE TABLE market_analysis (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    trading_pair_id UUID NOT NULL,
    timeframe VARCHAR(10) NOT NULL  -- a bar's length: '1m', '4h', '1d'
        CONSTRAINT ck_market_analysis_timeframe CHECK (timeframe ~ '^[1-9][0-9]*(s|m|h|d|w)$'),

    trend market_trend NOT NULL,
    price NUMERIC(38,18) NOT NULL  -- the last one at analysed_at
        CONSTRAINT ck_market_analysis_price CHECK (price > 0),
    -- Prices, the nearest to `price` first; empty where too little was seen.
    support_levels NUMERIC(38,18)[] NOT NULL DEFAULT '{}'
        CONSTRAINT ck_market_analysis_support_levels CHECK (0 < ALL (support_levels)),
    resistance_levels NUMERIC(38,18)[] NOT NULL DEFAULT '{}'
        CONSTRAINT ck_market_analysis_resistance_levels CHECK (0 < ALL (resistance_levels)),
    -- Standard deviation of the logarithmic returns of bars, as a fraction: 0.01 is one percent.
    -- NULL where too few bars were seen.
    volatility NUMERIC(18,12)
        CONSTRAINT ck_market_analysis_volatility CHECK (volatility >= 0),
    indicators JSONB NOT NULL DEFAULT '{}',  -- value by name, as strategies see them

    -- Timestamps
    analysed_at TIMESTAMP WITH TIME ZONE NOT NULL,  -- by the market's clock
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),

    CONSTRAINT fk_market_analysis_trading_pair_id
        FOREIGN KEY (trading_pair_id) REFERENCES trading_pairs(id),
    -- A repeat after a restart is recognised; its index finds a pair's newest, too.
    CONSTRAINT uq_market_analysis_pair_timeframe_analysed_at
        UNIQUE (trading_pair_id, timeframe, analysed_at)
);

CREATE INDEX idx_market_analysis_analysed_at ON market_analysis(analysed_at);
