-- Where the new thing is belongs to the stored answer, so that a repetition need not look into the body for it.
ALTER TABLE idempotency_keys
    ADD COLUMN location VARCHAR(255) NULL AFTER body;

UPDATE idempotency_keys
    SET location = CONCAT('/api/v1/reservations/', JSON_UNQUOTE(JSON_EXTRACT(body, '$.id')))
    WHERE route = 'POST /api/v1/reservations' AND body IS NOT NULL;

UPDATE idempotency_keys
    SET location = CONCAT('/api/v1/payments/', JSON_UNQUOTE(JSON_EXTRACT(body, '$.id')))
    WHERE route = 'POST /api/v1/payments' AND body IS NOT NULL;
