-- The trace of the request that an event was written for (W3C Trace Context); NULL for what no request caused.
ALTER TABLE outbox ADD COLUMN traceparent CHAR(55) CHARACTER SET ascii NULL;
