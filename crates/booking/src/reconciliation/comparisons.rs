//! What must agree, each as one statement that names the things for which it does not: `id`, `expected`, `found`.
//!
//! `@now` is the instant of the comparison, `@seats_per_user` the limit of the service.

pub(super) const COMPARISONS: &[(&str, &str)] = &[
    (
        "seats of a confirmed reservation, and those of them that are sold to it",
        "SELECT r.id, CAST(COUNT(*) AS SIGNED) AS expected, CAST(COUNT(t.number) AS SIGNED) AS found \
         FROM reservations r JOIN reservation_seats s ON s.reservation_id = r.id AND s.returned_by IS NULL \
         LEFT JOIN seats t ON t.schedule_id = s.schedule_id AND t.number = s.sold_number \
             AND t.state = 'sold' AND t.reservation_id = r.id \
         WHERE r.state = 'confirmed' GROUP BY r.id HAVING COUNT(*) <> COUNT(t.number)",
    ),
    (
        "price of a reservation, and the sum of its seats",
        "SELECT r.id, r.amount AS expected, CAST(COALESCE(SUM(s.price), 0) AS SIGNED) AS found \
         FROM reservations r LEFT JOIN reservation_seats s ON s.reservation_id = r.id AND s.returned_by IS NULL \
         GROUP BY r.id, r.amount, r.seat_count \
         HAVING r.amount <> COALESCE(SUM(s.price), 0) OR r.seat_count <> COUNT(s.seat_number)",
    ),
    (
        "price of all seats that a reservation ever had, and what was paid for it",
        "SELECT r.id, CAST(IF(r.state IN ('confirmed', 'refunded'), COALESCE(SUM(s.price), 0), 0) AS SIGNED) AS expected, \
             COALESCE(p.amount, 0) AS found \
         FROM reservations r LEFT JOIN reservation_seats s ON s.reservation_id = r.id \
         LEFT JOIN payments p ON p.reservation_id = r.id GROUP BY r.id, r.state, p.id, p.amount \
         HAVING expected <> found OR MAX(r.state IN ('confirmed', 'refunded')) <> (COUNT(p.id) > 0)",
    ),
    (
        "what a payment says was given back, and its refunds",
        "SELECT p.id, p.refunded_amount AS expected, CAST(COALESCE(SUM(b.amount), 0) AS SIGNED) AS found \
         FROM payments p JOIN reservations r ON r.id = p.reservation_id LEFT JOIN refunds b ON b.payment_id = p.id \
         GROUP BY p.id, p.amount, p.refunded_amount, p.state, r.state \
         HAVING p.refunded_amount <> COALESCE(SUM(b.amount), 0) OR MAX(p.refunded_amount > p.amount) \
             OR MAX(p.state = 'captured') <> (COUNT(b.id) = 0) OR MAX((p.state = 'refunded') <> (r.state = 'refunded'))",
    ),
    (
        "a payment and its refunds, and what the ledger says of them",
        // Each sum by its own key: with both causes in one join the ledger is read once for each payment.
        "SELECT id, amount - refunded_amount AS expected, CAST(captured - refunded AS SIGNED) AS found FROM \
             (SELECT p.id, p.amount, p.refunded_amount, \
                 COALESCE((SELECT SUM(e.amount) FROM ledger_entries e WHERE e.cause = 'captured' AND e.reference_id = p.id), 0) AS captured, \
                 COALESCE((SELECT SUM(e.amount) FROM ledger_entries e WHERE e.cause = 'refunded' AND e.reference_id = p.id), 0) AS refunded \
             FROM payments p) AS both_sides WHERE amount <> captured OR refunded_amount <> refunded",
    ),
    (
        "a refund, and its part in the ledger",
        "SELECT b.id, b.amount AS expected, COALESCE(e.amount, 0) AS found \
         FROM refunds b LEFT JOIN ledger_entries e ON e.cause = 'refunded' AND e.reference_id = b.payment_id AND e.part = b.part \
         WHERE b.amount <> COALESCE(e.amount, 0)",
    ),
    (
        "the ledger's net of a wallet, and its balance",
        "SELECT w.user_id AS id, CAST(COALESCE(SUM(IF(e.credit_account = 'wallet', e.amount, -e.amount)), 0) AS SIGNED) AS expected, \
             w.balance AS found \
         FROM wallets w LEFT JOIN ledger_entries e ON e.user_id = w.user_id GROUP BY w.user_id, w.balance \
         HAVING w.balance <> COALESCE(SUM(IF(e.credit_account = 'wallet', e.amount, -e.amount)), 0)",
    ),
    (
        // What a charge led to is in the ledger, in the order in which the wallet was locked: a charge may not end above the
        // limit. Money that comes back and gifts may take a wallet there, and what a provider collected goes in whatever came
        // meanwhile: its order was judged when it was made, by what the wallet had of its own and was yet to get. An order that
        // failed first and was paid after all was not counted by those that came after it.
        "a balance that may not be: below zero, or above the limit without money that came back",
        "SELECT w.user_id AS id, 0 AS expected, w.balance AS found FROM wallets w \
         LEFT JOIN (SELECT c.user_id, SUM(c.amount) AS net, \
                 MAX(c.is_charge AND c.so_far - IF(c.kind IS NULL, 0, c.came_back) > 1000000000) AS is_above \
             FROM (SELECT e.user_id, o.kind, IF(e.credit_account = 'wallet', e.amount, -e.amount) AS amount, \
                     e.cause = 'charged' AND e.position IS NOT NULL AND COALESCE(o.kind, '') <> 'payment' AS is_charge, \
                     SUM(IF(e.credit_account = 'wallet', e.amount, -e.amount)) OVER in_order AS so_far, \
                     SUM(IF(e.cause IN ('refunded', 'goodwill', 'corrected_up') OR f.seq IS NOT NULL, e.amount, 0)) \
                         OVER in_order AS came_back \
                 FROM ledger_entries e \
                 LEFT JOIN provider_orders o ON e.cause = 'charged' AND o.id = e.reference_id \
                 LEFT JOIN audit_log f ON f.entity_id = o.id AND f.entity = 'order' AND f.action = 'failed' \
                 WHERE e.user_id IN (SELECT user_id FROM ledger_entries WHERE credit_account = 'wallet' \
                     GROUP BY user_id HAVING SUM(amount) > 1000000000) \
                 WINDOW in_order AS (PARTITION BY e.user_id ORDER BY e.position IS NOT NULL, e.position, e.id)) c \
             GROUP BY c.user_id) l ON l.user_id = w.user_id \
         WHERE w.balance < 0 OR l.is_above OR (w.balance > 1000000000 AND COALESCE(l.net, 0) <= 1000000000)",
    ),
    (
        "a payment of another user than its reservation's",
        "SELECT p.id, 0 AS expected, 1 AS found FROM payments p JOIN reservations r ON r.id = p.reservation_id \
         WHERE p.user_id <> r.user_id",
    ),
    (
        "an entry of the ledger in another wallet than its payment's",
        "SELECT e.id, 0 AS expected, 1 AS found FROM ledger_entries e JOIN payments p ON p.id = e.reference_id \
         WHERE e.cause IN ('captured', 'refunded') AND e.user_id <> p.user_id",
    ),
    (
        "a sold seat whose holder has no confirmed reservation of it",
        "SELECT t.schedule_id AS id, 0 AS expected, CAST(t.number AS SIGNED) AS found FROM seats t \
         LEFT JOIN reservations r ON r.id = t.reservation_id AND r.schedule_id = t.schedule_id \
             AND r.user_id = t.holder_id AND r.state = 'confirmed' \
         LEFT JOIN reservation_seats s ON s.reservation_id = r.id AND s.sold_number = t.number \
         WHERE t.state = 'sold' AND s.seat_number IS NULL",
    ),
    (
        "a held seat without a reservation that holds it",
        "SELECT t.schedule_id AS id, 0 AS expected, CAST(t.number AS SIGNED) AS found FROM seats t \
         LEFT JOIN reservations r ON r.id = t.reservation_id AND r.schedule_id = t.schedule_id \
             AND r.user_id = t.holder_id AND r.state = 'held' AND r.hold_expires_at = t.hold_expires_at \
         WHERE t.state = 'held' AND r.id IS NULL",
    ),
    (
        // Ten seconds are for the clocks of other instances.
        "seats of a live hold, and those that are held for it",
        "SELECT r.id, CAST(r.seat_count AS SIGNED) AS expected, CAST(COUNT(t.number) AS SIGNED) AS found \
         FROM reservations r LEFT JOIN reservation_seats s ON s.reservation_id = r.id \
         LEFT JOIN seats t ON t.schedule_id = s.schedule_id AND t.number = s.seat_number \
             AND t.state = 'held' AND t.reservation_id = r.id \
         WHERE r.state = 'held' AND r.hold_expires_at > @now + INTERVAL 10 SECOND \
         GROUP BY r.id, r.seat_count HAVING r.seat_count <> COUNT(t.number)",
    ),
    (
        "seats that a schedule says it has, and those it has",
        "SELECT d.id, CAST(d.seats_total AS SIGNED) AS expected, CAST(COUNT(t.number) AS SIGNED) AS found \
         FROM schedules d LEFT JOIN seats t ON t.schedule_id = d.id \
         GROUP BY d.id, d.seats_total HAVING d.seats_total <> COUNT(t.number)",
    ),
    (
        // By the limit that was in force when they were taken: one that an operator lowers takes no seat away. It stands in each
        // reservation but those from before it did, for which the greater of those of today counts. A hold that is live now
        // was live, and so counted, whenever its user took more.
        "seats that a user may have of a schedule, and those bought or held",
        "SELECT r.user_id AS id, CAST(MAX(COALESCE(r.max_seats, \
                 GREATEST(COALESCE(d.max_seats_per_user, 0), @seats_per_user))) AS SIGNED) AS expected, \
             CAST(SUM(r.seat_count) AS SIGNED) AS found \
         FROM reservations r JOIN schedules d ON d.id = r.schedule_id \
         WHERE r.state = 'confirmed' OR (r.state = 'held' AND r.hold_expires_at > @now) \
         GROUP BY r.schedule_id, r.user_id HAVING found > expected",
    ),
    (
        "changes of a reservation, and their rows in the audit log",
        "SELECT r.id, 1 + (r.state <> 'held') + (r.state = 'refunded') AS expected, CAST(COUNT(DISTINCT a.action) AS SIGNED) AS found \
         FROM reservations r LEFT JOIN audit_log a ON a.entity_id = r.id AND a.entity = 'reservation' \
             AND (a.action = 'held' OR a.action = r.state OR (r.state = 'refunded' AND a.action = 'confirmed')) \
         GROUP BY r.id, r.state HAVING expected <> found",
    ),
    (
        "changes of a payment, and their rows in the audit log",
        "SELECT p.id, CAST(1 + (SELECT COUNT(*) FROM refunds b WHERE b.payment_id = p.id) AS SIGNED) AS expected, \
             CAST(COUNT(a.seq) AS SIGNED) AS found \
         FROM payments p LEFT JOIN audit_log a ON a.entity_id = p.id AND a.entity = 'payment' \
             AND a.action IN ('captured', 'partially_refunded', 'refunded') \
         GROUP BY p.id HAVING expected <> found",
    ),
    (
        "charges of a wallet, and their rows in the audit log",
        "SELECT w.user_id AS id, (SELECT COUNT(*) FROM ledger_entries e WHERE e.user_id = w.user_id AND e.cause = 'charged') AS expected, \
             (SELECT COUNT(*) FROM audit_log a WHERE a.entity_id = w.user_id AND a.entity = 'wallet' AND a.action = 'charged') AS found \
         FROM wallets w HAVING expected <> found",
    ),
    (
        // Delivered events are kept for a day at least.
        "a hold of the last day, and its event",
        "SELECT r.id, 1 AS expected, 0 AS found FROM reservations r \
         WHERE r.created_at > @now - INTERVAL 1 DAY AND NOT EXISTS \
             (SELECT 1 FROM outbox o WHERE o.aggregate_id = r.id AND o.type = 'reservation.held')",
    ),
    (
        "a payment of the last day, and its event",
        "SELECT p.id, 1 AS expected, 0 AS found FROM payments p \
         WHERE p.created_at > @now - INTERVAL 1 DAY AND NOT EXISTS \
             (SELECT 1 FROM outbox o WHERE o.aggregate_id = p.reservation_id AND o.type = 'payment.captured')",
    ),
    (
        "refunds of a payment in the last day, and their events",
        "SELECT p.id, CAST(COUNT(b.id) AS SIGNED) AS expected, \
             (SELECT COUNT(*) FROM outbox o WHERE o.aggregate_id = p.reservation_id \
                 AND o.type IN ('payment.partially_refunded', 'payment.refunded') \
                 AND o.created_at > @now - INTERVAL 1 DAY) AS found \
         FROM payments p JOIN refunds b ON b.payment_id = p.id WHERE b.created_at > @now - INTERVAL 1 DAY \
         GROUP BY p.id, p.reservation_id HAVING expected <> found",
    ),
    (
        "charges of a wallet in the last day, and their events",
        "SELECT e.user_id AS id, CAST(COUNT(*) AS SIGNED) AS expected, (SELECT COUNT(*) FROM outbox o WHERE o.aggregate_id = e.user_id \
                 AND o.type = 'wallet.charged' AND o.created_at > @now - INTERVAL 1 DAY) AS found \
         FROM ledger_entries e WHERE e.cause = 'charged' AND e.created_at > @now - INTERVAL 1 DAY \
         GROUP BY e.user_id HAVING expected <> found",
    ),
    (
        "what operators moved in a wallet, and its rows in the audit log",
        "SELECT w.user_id AS id, (SELECT COUNT(*) FROM ledger_entries e WHERE e.user_id = w.user_id \
                 AND e.cause IN ('goodwill', 'corrected_up', 'corrected_down')) AS expected, \
             (SELECT COUNT(*) FROM audit_log a WHERE a.entity_id = w.user_id AND a.entity = 'wallet' AND a.action = 'corrected') AS found \
         FROM wallets w HAVING expected <> found",
    ),
    (
        "what operators moved in a wallet in the last day, and its events",
        "SELECT e.user_id AS id, CAST(COUNT(*) AS SIGNED) AS expected, (SELECT COUNT(*) FROM outbox o WHERE o.aggregate_id = e.user_id \
                 AND o.type = 'wallet.corrected' AND o.created_at > @now - INTERVAL 1 DAY) AS found \
         FROM ledger_entries e WHERE e.cause IN ('goodwill', 'corrected_up', 'corrected_down') \
             AND e.created_at > @now - INTERVAL 1 DAY \
         GROUP BY e.user_id HAVING expected <> found",
    ),
    (
        "the end of a hold of the last day, and its event",
        "SELECT r.id, 1 AS expected, 0 AS found FROM reservations r \
         WHERE r.state IN ('expired', 'cancelled') AND r.created_at > @now - INTERVAL 1 DAY AND NOT EXISTS \
             (SELECT 1 FROM outbox o WHERE o.aggregate_id = r.id AND o.type = CONCAT('reservation.', r.state))",
    ),
    (
        "a hold that was made longer in the last day, and its row in the audit log with its event",
        "SELECT r.id, 2 AS expected, \
             (SELECT COUNT(*) FROM audit_log a WHERE a.entity_id = r.id AND a.entity = 'reservation' AND a.action = 'extended') \
             + (SELECT COUNT(*) FROM outbox o WHERE o.aggregate_id = r.id AND o.type = 'reservation.extended') AS found \
         FROM reservations r WHERE r.extended_at > @now - INTERVAL 1 DAY HAVING expected <> found",
    ),
    (
        "a date that was cancelled in the last day, and its row in the audit log with its event",
        "SELECT c.schedule_id AS id, 2 AS expected, \
             (SELECT COUNT(*) FROM audit_log a WHERE a.entity_id = c.schedule_id AND a.entity = 'schedule' AND a.action = 'cancelled') \
             + (SELECT COUNT(*) FROM outbox o WHERE o.aggregate_id = c.schedule_id AND o.type = 'schedule.cancelled') AS found \
         FROM schedule_cancellations c WHERE c.requested_at > @now - INTERVAL 1 DAY HAVING expected <> found",
    ),
    (
        "those who wait for seats of a date, and how many the date counts",
        "SELECT s.id, CAST(COUNT(e.seq) AS SIGNED) AS expected, CAST(s.waiting AS SIGNED) AS found \
         FROM schedules s LEFT JOIN waitlist_entries e ON e.schedule_id = s.id AND e.state = 'waiting' \
         GROUP BY s.id, s.waiting HAVING COUNT(e.seq) <> s.waiting",
    ),
    (
        // Joining and leaving were not written down at first, and not by older instances during an upgrade: an hour after the
        // first row that does none of them is left. DISTINCT makes a table of the rows, with a key, that each place looks into.
        "places in waiting lists of the last day, and their rows in the audit log",
        "SELECT e.id, 1 + (e.state = 'left') AS expected, CAST(COUNT(DISTINCT a.action) AS SIGNED) AS found \
         FROM (SELECT COALESCE(MIN(at) + INTERVAL 1 HOUR, @now) AS since FROM audit_log \
             WHERE entity = 'schedule' AND action = 'waitlist_joined') c \
         JOIN waitlist_entries e ON e.created_at > @now - INTERVAL 1 DAY AND e.created_at >= c.since \
         LEFT JOIN (SELECT DISTINCT action, \
                 CAST(UNHEX(REPLACE(JSON_UNQUOTE(JSON_EXTRACT(detail, '$.entryId')), '-', '')) AS BINARY(16)) AS entry_id \
             FROM audit_log WHERE entity = 'schedule' AND action IN ('waitlist_joined', 'waitlist_left') \
                 AND at > @now - INTERVAL 1 DAY) a ON a.entry_id = e.id \
         GROUP BY e.id, e.state HAVING expected <> found",
    ),
    (
        "money that a provider has collected, and what the ledger charged for it",
        "SELECT o.id, IF(o.state = 'succeeded', o.amount, 0) AS expected, COALESCE(e.amount, 0) AS found \
         FROM provider_orders o LEFT JOIN ledger_entries e ON e.cause = 'charged' AND e.reference_id = o.id \
             AND e.user_id = o.user_id \
         WHERE IF(o.state = 'succeeded', o.amount, 0) <> COALESCE(e.amount, 0)",
    ),
    (
        // That an order was made was not written down at first: the first row that says so tells from when on.
        "changes of an order of the last day, and their rows in the audit log",
        "SELECT o.id, (o.state <> 'pending') + (o.created_at >= c.since) AS expected, \
             CAST(COUNT(DISTINCT a.action) AS SIGNED) AS found \
         FROM (SELECT COALESCE(MIN(at), @now) AS since FROM audit_log WHERE entity = 'order' AND action = 'created') c \
         JOIN provider_orders o ON o.created_at > @now - INTERVAL 1 DAY \
         LEFT JOIN audit_log a ON a.entity_id = o.id AND a.entity = 'order' \
             AND ((a.action = 'created' AND o.created_at >= c.since) OR a.action = ELT(FIELD(o.state, 'succeeded', 'failed', \
                 'voided'), 'confirmed', 'failed', 'voided')) \
         GROUP BY o.id, o.state, o.created_at, c.since HAVING expected <> found",
    ),
    (
        "live reservations of a date whose cancellation is done",
        "SELECT c.schedule_id AS id, CAST(0 AS SIGNED) AS expected, CAST(COUNT(*) AS SIGNED) AS found \
         FROM schedule_cancellations c JOIN reservations r ON r.schedule_id = c.schedule_id \
         WHERE c.finished_at IS NOT NULL AND r.state IN ('held', 'confirmed') GROUP BY c.schedule_id",
    ),
];
