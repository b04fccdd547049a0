-- Who a subject of the books is. Everything else knows people by the subject alone, so this one row is all that has to go for
-- nobody to know any more whose entries they are. Whoever was known before is a subject of the same id.
CREATE TABLE subjects (
    person BINARY(16) NOT NULL,
    subject BINARY(16) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (person),
    UNIQUE KEY subjects_once (subject)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO subjects (person, subject, created_at)
    SELECT known.user_id, known.user_id, NOW(6)
    FROM (
        SELECT user_id FROM wallets
        UNION SELECT user_id FROM reservations
        UNION SELECT user_id FROM waitlist_entries
        UNION SELECT user_id FROM provider_orders
    ) known;
