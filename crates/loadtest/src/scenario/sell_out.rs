//! A crowd that is much larger than the house buys every seat, and then finds that nothing is left.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use crate::Profile;
use crate::check::{self, Check};
use crate::progress::Progress;
use crate::run::Findings;
use crate::scenario::story::{PATIENCE, visit, visit_checks};
use crate::settings::Settings;
use crate::shop::{Shop, Trouble};
use crate::visitor::Stage;
use crate::visitors;

/// Seats of one date.
const DATE_SEATS: u32 = 50;

/// Runs it.
pub(crate) async fn run(
    settings: &Settings,
    mut shop: Shop,
    progress: Progress,
) -> Result<Findings, Trouble> {
    shop.sell(settings.seats, DATE_SEATS).await?;
    let stage = Stage::new(settings, shop);
    let follow = tokio::task::spawn_local(progress.follow(Rc::clone(&stage)));
    let until = Instant::now() + settings.ramp + PATIENCE;
    let arrivals = Profile::burst(settings.users, settings.ramp).even();
    let live = |number, due| visit(Rc::clone(&stage), number, due, until);
    let endings = visitors::run(&stage, arrivals, PATIENCE, &Cell::new(false), live).await;
    let record = stage.recorder.finish();
    follow.abort();

    let books = stage.shop.books().await?;
    let mut checks = vec![
        Check::same("seats paid for", u64::from(settings.seats), endings.seats),
        Check::same("seats of the house", u64::from(settings.seats), books.seats),
    ];
    checks.extend(visit_checks(&endings, &books));
    checks.push(check::errors(&settings.objective, &record));
    checks.extend(check::speed(&settings.objective, "all calls", &record.all));
    Ok(Findings {
        record,
        checks,
        notes: vec![endings.line()],
    })
}
