use booking::concert::{self, NewConcert, ScheduleError, default_layout};
use booking::db::Page;
use booking::reservation::{self, ReservationState};
use booking::seat;
use chrono::TimeDelta;
use uuid::Uuid;

use crate::fixture::{Fixture, OPERATOR, layout, queue, schedule, title};

const ALL: Page = Page {
    limit: 50,
    after: None,
};

#[tokio::test]
async fn words_that_look_like_statements_are_only_words() {
    let fixture = Fixture::open().await;
    let odd = "'; DROP TABLE seats; -- \\ % _ \u{1F3B5} \" NULL";
    let new = NewConcert {
        title: title(odd),
        venue: None,
        queue: queue("main"),
    };
    let now = fixture.now;
    let made = fixture.instances[0]
        .transaction(move |tx| concert::create(tx, &new, OPERATOR, now))
        .await
        .unwrap();
    let found = fixture.instances[1]
        .read(move |conn| concert::find(conn, made.id))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (
            found.title.as_str(),
            found.venue.as_deref(),
            found.created_at
        ),
        (odd, None, now)
    );
    assert_eq!(fixture.seat_states(now).await.len(), 50);
}

#[tokio::test]
async fn concerts_are_listed_newest_first_and_page_by_page() {
    let fixture = Fixture::open().await;
    for number in 1..=4 {
        let new = NewConcert {
            title: title(&format!("Concert {number}")),
            venue: None,
            queue: queue("main"),
        };
        let now = fixture.now + TimeDelta::seconds(number);
        fixture.instances[0]
            .transaction(move |tx| concert::create(tx, &new, OPERATOR, now))
            .await
            .unwrap();
    }
    let list = |page| fixture.instances[0].read(move |conn| concert::list(conn, page));
    let first = list(Page {
        limit: 3,
        after: None,
    })
    .await
    .unwrap();
    let titles: Vec<_> = first.iter().map(|concert| concert.title.as_str()).collect();
    assert_eq!(titles, ["Concert 4", "Concert 3", "Concert 2"]);
    let rest = list(Page {
        limit: 3,
        after: Some(first[2].id),
    })
    .await
    .unwrap();
    assert_eq!(
        rest.iter()
            .map(|concert| concert.title.as_str())
            .collect::<Vec<_>>(),
        ["Concert 1", "Nights"]
    );
    let none = fixture.instances[0]
        .read(|conn| concert::find(conn, Uuid::new_v4()))
        .await
        .unwrap();
    assert_eq!(none, None);
}

#[tokio::test]
async fn a_date_counts_its_free_seats_and_is_available_while_one_can_be_reserved() {
    let fixture = Fixture::with(layout([("A", 1, 1..=2)])).await;
    let id = fixture.concert_id;
    let dates = |available, now| {
        fixture.instances[1].read(move |conn| concert::schedules(conn, id, available, now))
    };
    let free = async |now| dates(false, now).await.unwrap()[0].seats_available;
    assert_eq!(free(fixture.now).await, 2);
    fixture.reserve(fixture.rich().await, &[1]).await;
    assert_eq!(free(fixture.now).await, 1);
    assert_eq!(dates(true, fixture.now).await.unwrap().len(), 1);
    fixture.paid(&[2]).await;
    assert_eq!(free(fixture.now).await, 0);
    assert!(
        dates(true, fixture.now).await.unwrap().is_empty(),
        "nothing to reserve"
    );
    assert_eq!(free(fixture.hold_end()).await, 1);
    assert_eq!(
        dates(true, fixture.hold_end()).await.unwrap().len(),
        1,
        "a hold is over"
    );
    let closed = fixture.now + TimeDelta::days(30);
    assert!(
        dates(true, closed).await.unwrap().is_empty(),
        "sales are closed"
    );
    assert!(
        dates(true, fixture.now - TimeDelta::seconds(1))
            .await
            .unwrap()
            .is_empty(),
        "sales are not open yet"
    );
}

#[tokio::test]
async fn dates_that_make_no_sense_are_refused() {
    let fixture = Fixture::open().await;
    let now = fixture.now;
    let add = |concert_id, change: fn(&mut concert::NewSchedule)| {
        let mut new = schedule(now, default_layout());
        change(&mut new);
        fixture.instances[0]
            .transaction(move |tx| concert::add_schedule(tx, concert_id, &new, OPERATOR, now))
    };
    let unknown = add(Uuid::new_v4(), |_| ()).await;
    assert!(matches!(unknown, Err(ScheduleError::ConcertNotFound)));
    let odd: [fn(&mut concert::NewSchedule); 4] = [
        |new| new.starts_at -= TimeDelta::days(31),
        |new| new.sales_open_at = Some(new.starts_at),
        |new| new.sales_close_at = Some(new.starts_at + TimeDelta::seconds(1)),
        |new| new.starts_at = chrono::DateTime::<chrono::Utc>::MAX_UTC,
    ];
    for change in odd {
        assert!(matches!(
            add(fixture.concert_id, change).await,
            Err(ScheduleError::SalesInvalid)
        ));
    }
    let concert_id = Uuid::new_v4();
    let dates = fixture.instances[0]
        .read(move |conn| concert::schedules(conn, concert_id, false, now))
        .await;
    assert!(matches!(dates, Err(ScheduleError::ConcertNotFound)));
}

#[tokio::test]
async fn a_hall_may_have_ten_thousand_seats_with_gaps_between_their_numbers() {
    let with_a_gap = layout([("A", 7, 5_001..=10_000), ("A", 7, 1..=4_999)]);
    let fixture = Fixture::with(with_a_gap).await;
    assert_eq!(fixture.seat_states(fixture.now).await.len(), 9_999);
    fixture.reserve(Uuid::new_v4(), &[1, 10_000]).await;
    let gap = fixture
        .try_reserve(0, fixture.wish(Uuid::new_v4(), &[5_000]), fixture.now)
        .await;
    assert!(matches!(gap, Err(reservation::ReserveError::SeatUnknown(seats)) if seats == [5_000]));
}

#[tokio::test]
async fn a_user_sees_their_own_reservations_newest_first_as_they_are_now() {
    let mut fixture = Fixture::open().await;
    let user = fixture.rich().await;
    let first = fixture.reserve(user, &[1, 2]).await;
    fixture.now += TimeDelta::seconds(1);
    let second = fixture.reserve(user, &[3]).await;
    fixture.reserve(Uuid::new_v4(), &[4]).await;
    fixture.try_pay(0, &first, fixture.now).await.unwrap();

    let list =
        |page, now| fixture.instances[1].read(move |conn| reservation::list(conn, user, page, now));
    let after = fixture.hold_end();
    let seen = list(ALL, after).await.unwrap();
    assert_eq!(
        seen.iter()
            .map(|r| (r.id, r.state, r.seat_numbers()))
            .collect::<Vec<_>>(),
        [
            (second.id, ReservationState::Expired, vec![3]),
            (first.id, ReservationState::Confirmed, vec![1, 2]),
        ]
    );
    let newest = list(
        Page {
            limit: 1,
            after: None,
        },
        fixture.now,
    )
    .await
    .unwrap();
    assert_eq!((newest.len(), newest[0].state), (1, ReservationState::Held));
    let rest = list(
        Page {
            limit: 1,
            after: Some(newest[0].id),
        },
        fixture.now,
    )
    .await
    .unwrap();
    assert_eq!(rest[0].id, first.id);
    let id = first.id;
    let stolen = fixture.instances[0]
        .read(move |conn| reservation::find(conn, Uuid::new_v4(), id, after))
        .await;
    assert_eq!(stolen.unwrap(), None);
}

#[tokio::test]
async fn seats_are_listed_by_number_with_grade_and_price() {
    let fixture = Fixture::open().await;
    let (schedule_id, now) = (fixture.schedule_id, fixture.now);
    let seats = fixture.instances[0]
        .read(move |conn| seat::list(conn, schedule_id, now))
        .await
        .unwrap()
        .seats;
    assert!(seats.iter().map(|seat| seat.number).eq(1..=50));
    assert_eq!((seats[9].grade.as_str(), seats[9].price), ("VIP", 150_000));
    assert_eq!(
        (seats[10].grade.as_str(), seats[10].price),
        ("PREMIUM", 120_000)
    );
    let none = fixture.instances[0]
        .read(move |conn| seat::list(conn, Uuid::new_v4(), now))
        .await
        .unwrap();
    assert_eq!((none.seats, none.next_end), (vec![], None));
}
