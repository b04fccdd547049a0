-- The audit log names the operator key that was used; rows from before know only that it was one.
ALTER TABLE audit_log
    DROP CONSTRAINT audit_log_actor,
    ADD COLUMN actor_name VARCHAR(128) NULL AFTER actor_id,
    ADD CONSTRAINT audit_log_actor CHECK (
        (actor = 'user' AND actor_id IS NOT NULL AND actor_name IS NULL)
        OR (actor = 'operator' AND actor_id IS NULL)
        OR (actor IN ('sweeper', 'provider') AND actor_id IS NULL AND actor_name IS NULL)
    );
