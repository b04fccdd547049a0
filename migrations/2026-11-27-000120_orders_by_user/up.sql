-- What a user has ordered and not got yet counts for the limit of the wallet.
ALTER TABLE provider_orders ADD KEY provider_orders_by_user (user_id, state);
