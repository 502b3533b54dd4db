//! The typed statements of `tickforge::database`, as an application uses them: as trading_bot_app,
//! for one user after the other.

use crate::postgres::{connect, number, on_fresh_database};
use crate::rights::insert_pair;
use rust_decimal::Decimal;
use serde_json::json;
use sqlx::postgres::{PgConnection, PgListener};
use sqlx::{Connection, Executor};
use std::time::Duration;
use tickforge::clock;
use tickforge::database::ai::{CommandStatus, CommandType, NewCommand, NewResponse};
use tickforge::database::notifications::{Channel, NewNotification};
use tickforge::database::orders::{NewOrder, NewTrade, OrderStatus, OrderType, Side};
use tickforge::database::portfolios::{NewPosition, PositionStatus};
use tickforge::database::telegram::{Direction, NewMessage, Profile, TelegramStatus};
use tickforge::database::users::{NewSession, NewUser};
use tickforge::database::{
    As, Time, ai, begin_as, config, is_refused, notifications, orders, portfolios, telegram, users,
};
use tickforge::publishers::postgres::migrate;
use uuid::Uuid;

const PAIR: Uuid = Uuid::from_u128(0xc);

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

/// A connection of the application, and the ids of two users.
async fn application(url: &str) -> (PgConnection, Uuid, Uuid) {
    migrate(url).await.expect("migrated");
    let mut db = connect(url).await;
    insert_pair(&mut db).await;
    db.execute("SET ROLE trading_bot_app")
        .await
        .expect("the role");
    let preferences = json!({"signals": ["BTC/USDT"]});
    let mut ids = Vec::new();
    for name in ["ann", "bob"] {
        let new = NewUser {
            email: name,
            username: name,
            password_hash: "a hash",
            notification_preferences: Some(&preferences),
            ..NewUser::default()
        };
        ids.push(users::create(&mut db, &new).await.expect("a user"));
    }
    (db, ids[0], ids[1])
}

/// Within a transaction as that user, which is committed.
macro_rules! acting {
    ($db:expr, $who:expr, |$work:ident| $body:expr) => {{
        let mut $work = begin_as(&mut $db, $who).await.expect("begun");
        let result = $body.await.expect("done");
        $work.commit().await.expect("committed");
        result
    }};
}

#[test]
fn a_login_is_locked_after_failures_and_a_session_is_found_by_its_token() {
    on_fresh_database(async |url| {
        let (mut db, ann, bob) = application(&url).await;
        let login = users::login(&mut db, "ann")
            .await
            .expect("asked")
            .expect("ann");
        assert_eq!((login.id, login.password_hash.as_str()), (ann, "a hash"));
        assert!(login.is_active && !format!("{login:?}").contains("a hash"));
        assert!(users::login(&mut db, "eve").await.expect("asked").is_none());
        let minute = Duration::from_secs(60);
        for locked in [false, false, true] {
            let until = users::login_failed(&mut db, ann, 3, minute)
                .await
                .expect("counted");
            assert_eq!(until.is_some_and(|t| t.ns() > clock::now_ns()), locked);
        }
        users::login_succeeded(&mut db, ann)
            .await
            .expect("unlocked");
        let login = users::login(&mut db, "ann")
            .await
            .expect("asked")
            .expect("ann");
        assert_eq!(login.locked_until, None);

        let new = NewSession {
            user_id: ann,
            session_token: "token",
            refresh_token: Some("refresh"),
            ip_address: Some("2001:db8::1".parse().expect("an address")),
            user_agent: None,
            device_info: Some(&json!({"os": "linux"})),
            lasts: minute,
        };
        let opened = acting!(db, As::User(ann), |work| users::open_session(
            &mut work, &new
        ));
        let token = "token";
        let session = acting!(db, As::Session(token), |work| users::session(
            &mut work, token
        ));
        assert_eq!(session, Some(opened));
        let session = acting!(db, As::Session("other"), |work| users::session(
            &mut work, token
        ));
        assert_eq!(session, None, "another token opens nothing");
        let session = acting!(db, As::Nobody, |work| users::session(&mut work, token));
        assert_eq!(session, None);
        let closed = acting!(db, As::User(bob), |work| users::close_session(
            &mut work, opened.id
        ));
        assert!(!closed, "somebody else's");
        let closed = acting!(db, As::User(ann), |work| users::close_session(
            &mut work, opened.id
        ));
        assert!(closed);
    });
}

fn order(user_id: Uuid, portfolio_id: Uuid) -> NewOrder<'static> {
    NewOrder {
        user_id,
        portfolio_id,
        trading_pair_id: PAIR,
        order_type: OrderType::StopLimit,
        side: Side::Buy,
        amount: decimal("2"),
        price: Some(decimal("100.5")),
        stop_price: Some(decimal("0.000000000000000001")),
        source: "manual",
        ai_command_id: None,
    }
}

fn trade(order_id: Uuid, number: &str, price: &str, amount: &str) -> NewTrade<'static> {
    NewTrade {
        order_id,
        exchange_trade_id: String::leak(number.to_owned()),
        price: decimal(price),
        amount: decimal(amount),
        fee: decimal("0.1"),
        fee_currency: Some("B"),
        is_maker: Some(true),
        executed_at: Time::from_ns(1_795_000_000_123_456_789),
    }
}

#[test]
fn an_order_is_filled_trade_by_trade_and_each_counts_once() {
    on_fresh_database(async |url| {
        let (mut db, ann, bob) = application(&url).await;
        let portfolio = acting!(db, As::User(ann), |work| portfolios::create(
            &mut work, ann, "main", "B"
        ));
        let id = acting!(db, As::User(ann), |work| orders::place(
            &mut work,
            &order(ann, portfolio)
        ));
        assert!(acting!(db, As::User(ann), |work| orders::submitted(
            &mut work, id, "x-1"
        )));
        assert!(!acting!(db, As::User(ann), |work| orders::submitted(
            &mut work, id, "x-1"
        )));

        // Two fills at once from two connections, one of them doubled.
        let mut other = connect(&url).await;
        other
            .execute("SET ROLE trading_bot_app")
            .await
            .expect("the role");
        let first = async {
            let trade = trade(id, "1", "100", "0.5");
            acting!(db, As::User(ann), |work| orders::record_trade(
                &mut work, &trade
            ))
        };
        let second = async {
            let trade = trade(id, "2", "101", "0.5");
            let mut results = Vec::new();
            for _ in 0..2 {
                results.push(acting!(other, As::User(ann), |work| orders::record_trade(
                    &mut work, &trade
                )));
            }
            results
        };
        let (first, second) = tokio::join!(first, second);
        assert!(
            first.is_some() && second[0].is_some() && second[1].is_none(),
            "{second:?}"
        );
        let found = acting!(db, As::User(ann), |work| orders::find(&mut work, id)).expect("it");
        assert_eq!(found.status, OrderStatus::PartiallyFilled);
        assert_eq!(found.filled_amount, decimal("1"));
        assert_eq!(found.average_fill_price, Some(decimal("100.5")));
        assert_eq!(found.total_fee, decimal("0.2"));
        let last = trade(id, "3", "102", "1");
        acting!(db, As::User(ann), |work| orders::record_trade(
            &mut work, &last
        ))
        .expect("stored");
        let found = acting!(db, As::User(ann), |work| orders::find(&mut work, id)).expect("it");
        assert_eq!(
            (found.status, found.remaining_amount),
            (OrderStatus::Filled, Some(decimal("0")))
        );
        assert_eq!(found.average_fill_price, Some(decimal("101.25")));
        assert_eq!(
            found.filled_at.map(Time::ns),
            Some(1_795_000_000_123_456_000)
        );
        let end = OrderStatus::Cancelled;
        assert!(!acting!(db, As::User(ann), |work| orders::end(
            &mut work, id, end
        )));

        assert!(acting!(db, As::User(bob), |work| orders::find(&mut work, id)).is_none());
        let late = trade(id, "4", "102", "1");
        let none = acting!(db, As::User(bob), |work| orders::record_trade(
            &mut work, &late
        ));
        assert!(none.is_none(), "somebody else's order");
        let mut work = begin_as(&mut db, As::User(bob)).await.expect("begun");
        let refused = orders::place(&mut work, &order(bob, portfolio)).await;
        assert!(is_refused(&refused.expect_err("somebody else's portfolio")));
        drop(work);
        let all = acting!(db, As::User(ann), |work| orders::of_portfolio(
            &mut work, portfolio, 9
        ));
        assert_eq!(all.len(), 1);
    });
}

#[test]
fn balances_and_positions_add_up() {
    on_fresh_database(async |url| {
        let (mut db, ann, _) = application(&url).await;
        let id = acting!(db, As::User(ann), |work| portfolios::create(
            &mut work, ann, "main", "B"
        ));
        let named = acting!(db, As::User(ann), |work| portfolios::of_user(
            &mut work, ann
        ));
        assert_eq!((named.len(), named[0].id), (1, id));
        for (available, locked) in [("10.5", "0"), ("-4", "4"), ("0", "-1.5")] {
            let (a, l) = (decimal(available), decimal(locked));
            acting!(db, As::User(ann), |work| portfolios::change_balance(
                &mut work, id, "B", a, l
            ));
        }
        let mut work = begin_as(&mut db, As::User(ann)).await.expect("begun");
        let overdrawn = portfolios::change_balance(&mut work, id, "B", decimal("-7"), decimal("0"));
        let error = overdrawn.await.expect_err("more than there is");
        assert_eq!(
            error.as_database_error().and_then(|e| e.constraint()),
            Some("ck_balances_available")
        );
        drop(work);
        let all = acting!(db, As::User(ann), |work| portfolios::balances(
            &mut work, id
        ));
        let numbers = (all[0].total, all[0].available, all[0].locked);
        assert_eq!(numbers, (decimal("9"), decimal("6.5"), decimal("2.5")));

        let new = NewPosition {
            user_id: ann,
            portfolio_id: id,
            trading_pair_id: PAIR,
            side: Side::Sell,
            size: decimal("4"),
            entry_price: decimal("10"),
            fees: decimal("0.1"),
            stop_loss_price: Some(decimal("12")),
            take_profit_price: None,
        };
        let position = acting!(db, As::User(ann), |work| portfolios::open_position(
            &mut work, &new
        ));
        let (one, three) = (decimal("1"), decimal("3"));
        let half = acting!(db, As::User(ann), |work| portfolios::reduce_position(
            &mut work,
            position,
            one,
            decimal("8"),
            decimal("0.1")
        ));
        let half = half.expect("open");
        assert_eq!(
            (half.status, half.realized_pnl),
            (PositionStatus::PartiallyClosed, decimal("2"))
        );
        let closed = acting!(db, As::User(ann), |work| portfolios::reduce_position(
            &mut work,
            position,
            three,
            decimal("11"),
            decimal("0.1")
        ));
        let closed = closed.expect("still open");
        assert_eq!(
            (closed.status, closed.realized_pnl),
            (PositionStatus::Closed, decimal("-1"))
        );
        assert!(closed.closed_at.is_some() && closed.total_fees == decimal("0.3"));
        let all = acting!(db, As::User(ann), |work| portfolios::positions(
            &mut work, id
        ));
        assert_eq!(all, [closed]);
    });
}

#[test]
fn a_command_is_taken_once_and_answered() {
    on_fresh_database(async |url| {
        let (mut db, ann, bob) = application(&url).await;
        let new = NewCommand {
            user_id: ann,
            command_type: CommandType::MarketAnalysis,
            input_text: "How is BTC?",
            context_data: None,
            parameters: Some(&json!({"symbol": "BTC/USDT"})),
        };
        let id = acting!(db, As::User(ann), |work| ai::submit(&mut work, &new));
        assert!(!acting!(db, As::User(bob), |work| ai::start(&mut work, id)));
        assert!(acting!(db, As::User(ann), |work| ai::start(&mut work, id)));
        assert!(!acting!(db, As::User(ann), |work| ai::start(&mut work, id)));
        let answer = NewResponse {
            text: "Up.",
            data: None,
            confidence: Some(decimal("0.75")),
            model_version: Some("m1"),
            detected_intent: Some("trend"),
            extracted_entities: Some(&json!(["BTC"])),
        };
        let stored = acting!(db, As::User(ann), |work| ai::respond(
            &mut work, id, &answer
        ));
        assert!(stored.is_some());
        let again = acting!(db, As::User(ann), |work| ai::respond(
            &mut work, id, &answer
        ));
        assert!(again.is_none(), "it is completed");
        let done = acting!(db, As::User(ann), |work| ai::find(&mut work, id)).expect("it");
        assert_eq!(
            (done.status, done.confidence_score),
            (CommandStatus::Completed, answer.confidence)
        );
        assert!(done.processing_time_ms.is_some() && done.completed_at >= Some(done.created_at));
        assert!(!acting!(db, As::User(ann), |work| ai::fail(
            &mut work, id, "x", "late"
        )));
    });
}

#[test]
fn a_strangers_chat_is_taken_over_by_its_code() {
    on_fresh_database(async |url| {
        let (mut db, ann, bob) = application(&url).await;
        let chat = As::Chat(77);
        let profile = Profile {
            telegram_id: 77,
            username: Some("ann_tg"),
            first_name: None,
            last_name: None,
            language_code: None,
        };
        let id = acting!(db, chat, |work| telegram::register(
            &mut work, &profile, "code-1"
        ));
        let again = acting!(db, chat, |work| telegram::register(
            &mut work, &profile, "code-2"
        ));
        assert_eq!(again, id);
        let message = NewMessage {
            telegram_user_id: id,
            direction: Direction::Incoming,
            chat_id: 77,
            message_id: 1,
            text: Some("/start"),
            command: Some("/start"),
            ai_command_id: None,
        };
        assert!(acting!(db, chat, |work| telegram::record(&mut work, &message)).is_some());
        assert!(acting!(db, chat, |work| telegram::record(&mut work, &message)).is_none());
        let usage = acting!(db, chat, |work| telegram::usage(&mut work, id)).expect("it");
        assert_eq!((usage.total_messages, usage.daily_command_count), (1, 1));
        assert!(acting!(db, As::Chat(78), |work| telegram::find(&mut work, 77)).is_none());
        assert!(acting!(db, As::User(ann), |work| telegram::find(&mut work, 77)).is_none());

        let wrong = As::Code(ann, "code-1");
        assert!(
            acting!(db, wrong, |work| telegram::take_over(
                &mut work, ann, "code-2"
            ))
            .is_none()
        );
        let mut work = begin_as(&mut db, As::Code(ann, "code-2"))
            .await
            .expect("begun");
        let refused = telegram::take_over(&mut work, bob, "code-2").await;
        assert!(is_refused(&refused.expect_err("for somebody else")));
        drop(work);
        let right = As::Code(ann, "code-2");
        let taken = acting!(db, right, |work| telegram::take_over(
            &mut work, ann, "code-2"
        ));
        let taken = taken.expect("the chat");
        assert_eq!(
            (taken.user_id, taken.status),
            (Some(ann), TelegramStatus::Active)
        );
        let known = acting!(db, chat, |work| telegram::find(&mut work, 77)).expect("whose it is");
        assert_eq!(known, taken);
        let mut work = begin_as(&mut db, chat).await.expect("begun");
        let refused = telegram::register(&mut work, &profile, "code-3").await;
        assert!(is_refused(
            &refused.expect_err("it is no stranger's any more")
        ));
        drop(work);
        let next = NewMessage {
            message_id: 2,
            command: None,
            ..message
        };
        assert!(acting!(db, As::User(ann), |work| telegram::record(&mut work, &next)).is_some());
    });
}

#[test]
fn a_notification_is_queued_once_and_taken_by_one() {
    on_fresh_database(async |url| {
        let (mut db, ann, _) = application(&url).await;
        let payload = json!({"signal_type": "buy"});
        let new = NewNotification {
            user_id: ann,
            signal_id: Some(Uuid::from_u128(1)),
            channel: Channel::Telegram,
            notification_type: "signal",
            payload: &payload,
            scheduled_at: None,
        };
        let id = acting!(db, As::User(ann), |work| notifications::queue(
            &mut work, &new
        ));
        let id = id.expect("queued");
        assert!(
            acting!(db, As::User(ann), |work| notifications::queue(
                &mut work, &new
            ))
            .is_none()
        );

        let (channel, second) = (Channel::Telegram, Duration::from_secs(1));
        let mut others = connect(&url).await;
        others
            .execute("SET ROLE trading_bot_engine")
            .await
            .expect("the role");
        let mut work = others.begin().await.expect("begun");
        let due = notifications::take(&mut work, channel, 9, second)
            .await
            .expect("taken");
        assert_eq!(
            (due.len(), due[0].attempts, &due[0].payload),
            (1, 1, &payload)
        );
        let none = acting!(db, As::User(ann), |work| notifications::take(
            &mut work, channel, 9, second
        ));
        assert!(none.is_empty(), "it is in somebody's hands");
        work.commit().await.expect("committed");

        let at_once = Some(Duration::ZERO);
        assert!(acting!(db, As::User(ann), |work| notifications::failed(
            &mut work,
            id,
            "no network",
            at_once
        )));
        let due = acting!(db, As::User(ann), |work| notifications::take(
            &mut work, channel, 9, second
        ));
        assert_eq!((due.len(), due[0].attempts), (1, 2));
        assert!(acting!(db, As::User(ann), |work| notifications::sent(
            &mut work, id
        )));
        assert!(!acting!(db, As::User(ann), |work| notifications::failed(
            &mut work, id, "late", None
        )));
    });
}

#[test]
fn a_setting_tells_who_listens() {
    on_fresh_database(async |url| {
        let (mut db, ann, _) = application(&url).await;
        let mut listener = PgListener::connect(&url).await.expect("listening");
        listener.listen(config::CHANNEL).await.expect("listening");
        let heard = async |listener: &mut PgListener| {
            let heard = tokio::time::timeout(Duration::from_secs(5), listener.recv()).await;
            heard
                .expect("in time")
                .expect("a notification")
                .payload()
                .to_owned()
        };
        let (on, off) = (json!(true), json!({"enabled": false}));
        config::set(&mut db, "a", &on, Some("why"), Some(ann))
            .await
            .expect("set");
        assert_eq!(heard(&mut listener).await, "a");
        config::set(&mut db, "a", &off, None, None)
            .await
            .expect("changed");
        assert_eq!(heard(&mut listener).await, "a");
        assert_eq!(config::get(&mut db, "a").await.expect("asked"), Some(off));
        let all = config::all(&mut db).await.expect("asked");
        assert_eq!((all.len(), all[0].description.as_deref()), (1, Some("why")));
        assert!(config::remove(&mut db, "a").await.expect("removed"));
        assert_eq!(heard(&mut listener).await, "a");
        assert!(!config::remove(&mut db, "a").await.expect("none"));
        let mut admin = connect(&url).await;
        let noted = "SELECT count(*) FROM audit_logs WHERE table_name = 'system_config'";
        assert_eq!(number(&mut admin, noted).await, 3);
    });
}
