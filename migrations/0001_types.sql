-- The closed sets of the tables that follow, as the schema document names them.

CREATE TYPE signal_type AS ENUM ('buy', 'sell', 'hold', 'strong_buy', 'strong_sell');

CREATE TYPE signal_source AS ENUM (
    'technical_analysis', 'sentiment_analysis', 'news_analysis',
    'pattern_recognition', 'machine_learning', 'hybrid'
);

CREATE TYPE command_type AS ENUM (
    'trade_analysis', 'market_analysis', 'portfolio_analysis',
    'risk_assessment', 'trade_execution', 'strategy_recommendation',
    'news_analysis', 'technical_analysis', 'sentiment_analysis', 'general_query'
);

CREATE TYPE command_status AS ENUM ('pending', 'processing', 'completed', 'failed', 'cancelled');
