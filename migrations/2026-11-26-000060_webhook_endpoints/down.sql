ALTER TABLE forwarded_events DROP COLUMN tries;
DROP TABLE webhook_lag;
DROP TABLE webhook_endpoints;
