DELETE FROM audit_log WHERE actor = 'provider';
ALTER TABLE audit_log
    DROP CONSTRAINT audit_log_actor,
    DROP COLUMN actor_name,
    ADD CONSTRAINT audit_log_actor CHECK (
        (actor = 'user' AND actor_id IS NOT NULL) OR (actor IN ('operator', 'sweeper') AND actor_id IS NULL)
    );
