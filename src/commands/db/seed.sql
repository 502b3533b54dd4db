-- The demonstration data of `tickforge db seed`: one user, and one of everything that belongs to a
-- user. Ids are fixed and begin with d0, so that a second run finds all of it there and --remove
-- takes away this and nothing else. Each statement ends with a line of `--`.

INSERT INTO users (id, email, username, password_hash, first_name, last_name, is_verified,
    is_premium, notification_preferences)
VALUES ('d0000000-0000-4000-8000-000000000001', 'demo@tickforge.invalid', 'demo',
    '!', -- equals no hash: nobody can log in
    'Demo', 'User', true, true,
    '{"signals": {"min_confidence": 0.7, "symbols": ["BTC/USDT", "ETH/USDT"], "channels": ["redis"]}}')
ON CONFLICT DO NOTHING
--
INSERT INTO portfolios (id, user_id, name, description, base_currency)
VALUES ('d0000000-0000-4000-8000-000000000010', 'd0000000-0000-4000-8000-000000000001',
    'Demonstration', 'Made by tickforge db seed', 'USDT')
ON CONFLICT DO NOTHING
--
-- The daemon's own rows where it has listed these markets already.
INSERT INTO trading_pairs (id, symbol, base_currency, quote_currency, exchange, min_order_size,
    price_precision, quantity_precision)
VALUES
    ('d0000000-0000-4000-8000-000000000020', 'BTC/USDT', 'BTC', 'USDT', 'binance', 0.00001, 2, 5),
    ('d0000000-0000-4000-8000-000000000021', 'ETH/USDT', 'ETH', 'USDT', 'binance', 0.0001, 2, 4)
ON CONFLICT DO NOTHING
--
INSERT INTO ai_commands (id, user_id, command_type, status, input_text, detected_intent,
    extracted_entities, confidence_score, processing_time_ms, model_version, created_at, started_at,
    completed_at)
VALUES
    ('d0000000-0000-4000-8000-000000000030', 'd0000000-0000-4000-8000-000000000001',
        'technical_analysis', 'completed', 'How does Bitcoin look today?', 'analyse_market',
        '{"symbol": "BTC/USDT", "timeframe": "1d"}', 0.94, 820, 'demo-1', now() - interval '2 hours',
        now() - interval '2 hours', now() - interval '2 hours' + interval '820 ms'),
    ('d0000000-0000-4000-8000-000000000031', 'd0000000-0000-4000-8000-000000000001',
        'trade_execution', 'completed', 'Buy 0.02 BTC below 90000', 'place_order',
        '{"symbol": "BTC/USDT", "side": "buy", "amount": "0.02", "price": "90000"}', 0.98, 140,
        'demo-1', now() - interval '1 hour', now() - interval '1 hour',
        now() - interval '1 hour' + interval '140 ms'),
    ('d0000000-0000-4000-8000-000000000032', 'd0000000-0000-4000-8000-000000000001',
        'general_query', 'failed', 'What will the price be tomorrow?', 'predict_price', NULL, 0.41,
        95, 'demo-1', now() - interval '10 minutes', now() - interval '10 minutes', NULL)
ON CONFLICT DO NOTHING
--
INSERT INTO ai_responses (id, command_id, user_id, response_text, response_data, confidence_score,
    model_version, processing_time_ms)
VALUES
    ('d0000000-0000-4000-8000-000000000040', 'd0000000-0000-4000-8000-000000000030',
        'd0000000-0000-4000-8000-000000000001', 'Rising above its 20-day average.',
        '{"trend": "up", "support": ["88500"], "resistance": ["93000"]}', 0.90, 'demo-1', 640),
    ('d0000000-0000-4000-8000-000000000041', 'd0000000-0000-4000-8000-000000000030',
        'd0000000-0000-4000-8000-000000000001', 'Volume confirms the move.', NULL, 0.72, 'demo-1', 180),
    ('d0000000-0000-4000-8000-000000000042', 'd0000000-0000-4000-8000-000000000031',
        'd0000000-0000-4000-8000-000000000001', 'Order placed: 0.02 BTC at 90000 USDT.',
        '{"order_id": "d0000000-0000-4000-8000-000000000050"}', 0.98, 'demo-1', 140)
ON CONFLICT DO NOTHING
--
INSERT INTO trading_signals (id, ai_command_id, trading_pair_id, signal_type, source, strength,
    confidence, target_price, stop_loss_price, take_profit_price, reasoning, technical_indicators,
    market_conditions, valid_until)
SELECT v.id::uuid, v.command::uuid, tp.id, v.type::signal_type, 'technical_analysis', v.strength,
    v.confidence, v.target, v.stop, v.profit, v.why, '{"rsi": 61.5}', '{"demo": true}',
    now() + interval '1 day'
FROM (VALUES
    ('d0000000-0000-4000-8000-000000000080', 'd0000000-0000-4000-8000-000000000030', 'BTC/USDT',
        'buy', 0.80, 0.90, 93000, 88000, 93500, 'above its 20-day average'),
    ('d0000000-0000-4000-8000-000000000081', NULL, 'ETH/USDT',
        'sell', 0.55, 0.65, 2900, 3150, 2850, 'momentum fades')
) AS v(id, command, symbol, type, strength, confidence, target, stop, profit, why)
JOIN trading_pairs tp ON tp.symbol = v.symbol AND tp.exchange = 'binance'
ON CONFLICT DO NOTHING
--
INSERT INTO orders (id, user_id, portfolio_id, trading_pair_id, exchange_order_id, type, side,
    status, amount, price, filled_amount, remaining_amount, average_fill_price, total_fee,
    fee_currency, source, ai_command_id, submitted_at, filled_at)
SELECT v.id::uuid, 'd0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-000000000010',
    tp.id, v.number, v.type::order_type, v.side::order_side, v.status::order_status, v.amount,
    v.price, v.filled, v.amount - v.filled, v.average, v.fee, 'USDT', v.source, v.command::uuid,
    now(), CASE v.status WHEN 'filled' THEN now() END
FROM (VALUES
    ('d0000000-0000-4000-8000-000000000050', 'BTC/USDT', 'demo-1', 'limit', 'buy', 'filled',
        0.02, 90000, 0.02, 89990.5, 1.79981, 'ai', 'd0000000-0000-4000-8000-000000000031'),
    ('d0000000-0000-4000-8000-000000000051', 'ETH/USDT', 'demo-2', 'market', 'buy', 'filled',
        0.5, NULL, 0.5, 3001.25, 1.500625, 'manual', NULL),
    ('d0000000-0000-4000-8000-000000000052', 'ETH/USDT', 'demo-3', 'limit', 'sell', 'open',
        0.5, 3300, 0, NULL, 0, 'manual', NULL)
) AS v(id, symbol, number, type, side, status, amount, price, filled, average, fee, source, command)
JOIN trading_pairs tp ON tp.symbol = v.symbol AND tp.exchange = 'binance'
ON CONFLICT DO NOTHING
--
INSERT INTO trades (id, user_id, portfolio_id, trading_pair_id, order_id, exchange_trade_id, side,
    price, amount, fee, fee_currency, is_maker, executed_at)
SELECT v.id::uuid, 'd0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-000000000010',
    tp.id, v.order_id::uuid, v.number, 'buy', v.price, v.amount, v.fee, 'USDT', v.maker, now()
FROM (VALUES
    ('d0000000-0000-4000-8000-000000000060', 'BTC/USDT', 'd0000000-0000-4000-8000-000000000050',
        'demo-1', 89990, 0.015, 1.34985, true),
    ('d0000000-0000-4000-8000-000000000061', 'BTC/USDT', 'd0000000-0000-4000-8000-000000000050',
        'demo-2', 89992, 0.005, 0.44996, false),
    ('d0000000-0000-4000-8000-000000000062', 'ETH/USDT', 'd0000000-0000-4000-8000-000000000051',
        'demo-3', 3001.25, 0.5, 1.500625, false)
) AS v(id, symbol, order_id, number, price, amount, fee, maker)
JOIN trading_pairs tp ON tp.symbol = v.symbol AND tp.exchange = 'binance'
ON CONFLICT DO NOTHING
--
INSERT INTO positions (id, user_id, portfolio_id, trading_pair_id, status, side, size,
    remaining_size, entry_price, current_price, exit_price, unrealized_pnl, realized_pnl, total_fees,
    stop_loss_price, take_profit_price, closed_at)
SELECT v.id::uuid, 'd0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-000000000010',
    tp.id, v.status::position_status, 'buy', v.size, v.remaining, v.entry, v.current, v.exit,
    v.unrealized, v.realized, v.fees, v.stop, v.profit,
    CASE v.status WHEN 'closed' THEN now() END
FROM (VALUES
    ('d0000000-0000-4000-8000-000000000070', 'BTC/USDT', 'open', 0.02, 0.02, 89990.5, 91000, NULL,
        20.19, 0, 1.79981, 88000, 93500),
    ('d0000000-0000-4000-8000-000000000071', 'ETH/USDT', 'open', 0.5, 0.5, 3001.25, 2990.5, NULL,
        -5.375, 0, 1.500625, 2900, 3300),
    ('d0000000-0000-4000-8000-000000000072', 'ETH/USDT', 'closed', 1, 0, 2900, 3000, 3000,
        0, 100, 5.9, NULL, NULL)
) AS v(id, symbol, status, size, remaining, entry, current, exit, unrealized, realized, fees, stop,
    profit)
JOIN trading_pairs tp ON tp.symbol = v.symbol AND tp.exchange = 'binance'
ON CONFLICT DO NOTHING
--
INSERT INTO balances (id, user_id, portfolio_id, currency, total, available, locked)
SELECT v.id::uuid, 'd0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-000000000010',
    v.currency, v.available + v.locked, v.available, v.locked
FROM (VALUES
    ('d0000000-0000-4000-8000-000000000090', 'USDT', 6696.27, 0),
    ('d0000000-0000-4000-8000-000000000091', 'BTC', 0.02, 0),
    ('d0000000-0000-4000-8000-000000000092', 'ETH', 0, 0.5)
) AS v(id, currency, available, locked)
ON CONFLICT DO NOTHING
--
INSERT INTO telegram_users (id, user_id, telegram_id, username, first_name, status,
    notification_types, is_verified, verified_at, total_messages, total_commands)
VALUES ('d0000000-0000-4000-8000-0000000000a0', 'd0000000-0000-4000-8000-000000000001',
    -1, -- Telegram numbers its users from 1
    'tickforge_demo', 'Demo', 'active', '["signal"]', true, now(), 2, 1)
ON CONFLICT DO NOTHING
--
INSERT INTO telegram_messages (id, telegram_user_id, user_id, direction, chat_id, message_id, text,
    command, ai_command_id)
VALUES
    ('d0000000-0000-4000-8000-0000000000b0', 'd0000000-0000-4000-8000-0000000000a0',
        'd0000000-0000-4000-8000-000000000001', 'incoming', -1, 1, '/ask How does Bitcoin look today?',
        '/ask', 'd0000000-0000-4000-8000-000000000030'),
    ('d0000000-0000-4000-8000-0000000000b1', 'd0000000-0000-4000-8000-0000000000a0',
        'd0000000-0000-4000-8000-000000000001', 'outgoing', -1, 2, 'Rising above its 20-day average.',
        NULL, 'd0000000-0000-4000-8000-000000000030')
ON CONFLICT DO NOTHING
--
-- One that was delivered, and one that waits for tomorrow, so that nobody's worker takes it at once.
INSERT INTO notifications (id, user_id, signal_id, channel, type, payload, status, attempts,
    scheduled_at, sent_at)
VALUES
    ('d0000000-0000-4000-8000-0000000000c0', 'd0000000-0000-4000-8000-000000000001',
        'd0000000-0000-4000-8000-000000000080', 'telegram', 'signal',
        '{"signal_type": "buy", "symbol": "BTC/USDT"}', 'sent', 1, now(), now()),
    ('d0000000-0000-4000-8000-0000000000c1', 'd0000000-0000-4000-8000-000000000001',
        NULL, 'email', 'order_filled', '{"order_id": "d0000000-0000-4000-8000-000000000050"}',
        'pending', 0, now() + interval '1 day', NULL)
ON CONFLICT DO NOTHING
--
INSERT INTO system_config (key, value, description, updated_by)
VALUES ('demo.seeded', 'true', 'The demonstration data is there; nothing reads this',
    'd0000000-0000-4000-8000-000000000001')
ON CONFLICT DO NOTHING
