ALTER TABLE provider_orders DROP KEY provider_orders_by_user;
