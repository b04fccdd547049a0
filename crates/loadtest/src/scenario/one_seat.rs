//! All are inside, and all want the same seat at the same instant: one gets it, the others hear that it is taken.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::check::{self, Check};
use crate::progress::Progress;
use crate::recorder::Step;
use crate::run::Findings;
use crate::settings::Settings;
use crate::shop::{Shop, Trouble};
use crate::visitor::{Ending, Stage, Visitor};

const DATE_SEATS: u32 = 50;
const SEAT: u16 = 7;
/// All come in within this.
const ENTRY: Duration = Duration::from_secs(60);
/// Visitors who come in at the same time: the entry is not what is measured.
const AT_A_TIME: usize = 64;

/// Runs it.
pub(crate) async fn run(
    settings: &Settings,
    mut shop: Shop,
    progress: Progress,
) -> Result<Findings, Trouble> {
    shop.sell(DATE_SEATS, DATE_SEATS).await?;
    let stage = Stage::new(settings, shop);
    let follow = tokio::task::spawn_local(progress.follow(Rc::clone(&stage)));
    let visitors = enter_all(&stage, settings.users).await?;
    progress.say(&format!(
        "{} visitors are inside; now all want seat {SEAT}",
        visitors.len()
    ));

    let date = Rc::new(stage.shop.dates[0].clone());
    let mut wishes = JoinSet::new();
    // One instant for all: who is sent last has waited for those before.
    let due = Instant::now();
    for mut visitor in visitors {
        let date = Rc::clone(&date);
        wishes.spawn_local(async move {
            let (_, held) = visitor.reserve(&date, &[SEAT], 0, due).await;
            (visitor, held)
        });
    }
    let mut winners = Vec::new();
    while let Some(wish) = wishes.join_next().await {
        if let Ok((visitor, Some(held))) = wish {
            winners.push((visitor, held));
        }
    }
    let mut paid = 0;
    for (mut visitor, held) in winners {
        if let Ending::Bought(seats) = visitor.pay(&held).await {
            paid += seats;
        }
    }
    let record = stage.recorder.finish();
    follow.abort();

    let books = stage.shop.books().await?;
    let reserve = record.step(Step::Reserve);
    let count = |status: u16| reserve.statuses().get(&status).copied().unwrap_or_default();
    let mut checks = vec![
        Check::same("201 to the wish for the seat", 1, count(201)),
        Check::same(
            "409 to the wish for the seat",
            settings.users - 1,
            count(409),
        ),
    ];
    checks.extend(check::books(&books, paid));
    checks.push(Check::same("seats paid for", 1, paid));
    checks.push(check::errors(&settings.objective, &record));
    checks.extend(check::speed(
        &settings.objective,
        "the wish for the seat",
        &reserve,
    ));
    Ok(Findings {
        record,
        checks,
        notes: Vec::new(),
    })
}

async fn enter_all(stage: &Rc<Stage>, users: u64) -> Result<Vec<Visitor>, Trouble> {
    let until = Instant::now() + ENTRY;
    let (mut coming, mut inside) = (JoinSet::new(), Vec::new());
    let users = usize::try_from(users).unwrap_or(usize::MAX);
    for number in 0..users {
        let mut visitor = Visitor::new(stage, number);
        coming.spawn_local(async move {
            visitor
                .enter(Instant::now(), until)
                .await
                .then_some(visitor)
        });
        if coming.len() >= AT_A_TIME {
            inside.extend(coming.join_next().await.and_then(Result::ok).flatten());
        }
    }
    while let Some(came) = coming.join_next().await {
        inside.extend(came.ok().flatten());
    }
    stage.recorder.visitors.set(inside.len() as u64);
    if inside.len() < users {
        return Err(format!("only {} of {users} came in", inside.len()));
    }
    Ok(inside)
}
