use crate::house::House;
use std::time::Instant;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn bench() {
    let first = House::open().await;
    let mut halls = vec![first.clone()];
    for _ in 1..10 { halls.push(first.another_schedule().await); }
    let mut users = vec![];
    let t = Instant::now();
    for _ in 0..500 { users.push(first.rich().await); }
    println!("charge {:?}", t.elapsed() / 500);
    let t = Instant::now();
    let mut held = vec![];
    for i in 0..500 { held.push(halls[i / 50].reserve(users[i], &[(i % 50) as i64 + 1]).await); }
    println!("reserve {:?}", t.elapsed() / 500);
    let t = Instant::now();
    for h in &held { first.try_pay(0, h, first.now).await.unwrap(); }
    println!("pay {:?}", t.elapsed() / 500);
    let t = Instant::now();
    for _ in 0..500 { let _ = halls[0].try_reserve(0, halls[0].wish(Uuid::new_v4(), &[1]), first.now).await; }
    println!("refused {:?}", t.elapsed() / 500);
    let t = Instant::now();
    for _ in 0..500 { first.balance(users[0]).await; }
    println!("balance {:?}", t.elapsed() / 500);
    let t = Instant::now();
    for _ in 0..500 { first.instances[0].transaction(|_| Ok::<(), booking::db::DbError>(())).await.unwrap(); }
    println!("empty tx {:?}", t.elapsed() / 500);
}
