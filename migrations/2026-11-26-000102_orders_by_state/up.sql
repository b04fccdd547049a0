-- What the provider has not answered yet is counted every few seconds.
ALTER TABLE provider_orders ADD KEY provider_orders_by_state (state, created_at);
