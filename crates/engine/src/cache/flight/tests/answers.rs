use super::*;

#[test]
fn a_thousand_calls_are_one() {
    run(async {
        let flights = Arc::new(AnswerFlights::default());
        let works = Arc::new(AtomicUsize::new(0));
        let mut calls = JoinSet::new();
        let joined = Arc::new(AtomicUsize::new(0));
        for _ in 0..1_000 {
            let (flights, works, joined) = (flights.clone(), works.clone(), joined.clone());
            calls.spawn(async move {
                let call = flights.join(key(1));
                joined.fetch_add(1, SeqCst);
                let follow = match call {
                    Joined::Follower(follow) => follow,
                    Joined::Leader(lead) => lead.run(async move {
                        works.fetch_add(1, SeqCst);
                        until(|| joined.load(SeqCst) == 1_000).await;
                        Ok(answer("x"))
                    }),
                };
                follow.wait().await.unwrap()
            });
        }
        let answers = calls.join_all().await;
        assert_eq!((answers.len(), works.load(SeqCst), flights.open()), (1_000, 1, 0));
        assert!(answers.iter().all(|each| Arc::ptr_eq(each, &answers[0])));
    });
}

#[test]
fn whoever_leaves_the_others_are_answered() {
    run(async {
        let flights = AnswerFlights::default();
        let (go, ready) = oneshot::channel::<()>();
        let leader = lead(flights.join(key(1))).run(async {
            ready.await.unwrap();
            Ok(answer("x"))
        });
        let leaver = tokio::spawn(follow(flights.join(key(1))).wait());
        let stayer = tokio::spawn(follow(flights.join(key(1))).wait());
        yield_now().await;
        drop(leader);
        leaver.abort();
        assert!(leaver.await.unwrap_err().is_cancelled());
        assert_eq!(flights.open(), 1);
        go.send(()).unwrap();
        assert_eq!(stayer.await.unwrap().unwrap().answer.content, "x");
        assert_eq!(flights.open(), 0);
    });
}

#[test]
fn when_all_have_left_the_work_is_dropped_and_the_key_is_free() {
    run(async {
        let flights = AnswerFlights::default();
        let (flag, is_dropped) = Flag::new();
        let leader = lead(flights.join(key(1))).run(async move {
            let _flag = flag;
            std::future::pending().await
        });
        let follower = follow(flights.join(key(1)));
        drop(leader);
        yield_now().await;
        assert!(!is_dropped());
        drop(follower);
        assert_eq!(flights.open(), 0);
        until(is_dropped).await;
        let again = lead(flights.join(key(1))).run(async { Ok(answer("again")) });
        assert_eq!(again.wait().await.unwrap().answer.content, "again");
    });
}

#[test]
fn a_failure_is_everybodys() {
    run(async {
        let flights = AnswerFlights::default();
        let first = lead(flights.join(key(1)));
        let second = follow(flights.join(key(1)));
        let first = first.run(async { Err(GatewayError::provider_timeout("p").into()) });
        for caller in [first, second] {
            assert_eq!(caller.wait().await.unwrap_err().kind(), Some(ErrorKind::ProviderTimeout));
        }
        let unbegun = lead(flights.join(key(1)));
        let follower = follow(flights.join(key(1)));
        unbegun.fail(GatewayError::budget_exceeded("b").into());
        assert_eq!(follower.wait().await.unwrap_err().kind(), Some(ErrorKind::BudgetExceeded));
        assert_eq!(flights.open(), 0);
    });
}

#[test]
fn a_panic_is_an_internal_error_for_everybody() {
    run(async {
        let flights = AnswerFlights::default();
        let first = lead(flights.join(key(1)));
        let second = follow(flights.join(key(1)));
        for caller in [first.run(async { panic!("in the shared work") }), second] {
            assert_eq!(caller.wait().await.unwrap_err().kind(), Some(ErrorKind::Internal));
        }
        assert_eq!(flights.open(), 0);
    });
}

#[test]
fn a_lead_that_is_not_taken_up_is_told() {
    run(async {
        let flights = AnswerFlights::default();
        let leader = lead(flights.join(key(1)));
        let follower = follow(flights.join(key(1)));
        drop(leader);
        assert_eq!(flights.open(), 0);
        assert_eq!(follower.wait().await.unwrap_err().kind(), Some(ErrorKind::Aborted));
        drop(lead(flights.join(key(1))));
        assert_eq!(flights.open(), 0);
    });
}

#[test]
fn a_runtime_that_stops_ends_its_flights() {
    let flights = AnswerFlights::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let follower =
        runtime.block_on(async { lead(flights.join(key(1))).run(async { std::future::pending().await }) });
    drop(runtime);
    assert_eq!(flights.open(), 0);
    assert_eq!(run(follower.wait()).unwrap_err().kind(), Some(ErrorKind::Aborted));
}

#[test]
fn who_has_the_answer_may_begin_anew_at_once() {
    run(async {
        let flights = AnswerFlights::default();
        for _ in 0..2_000 {
            lead(flights.join(key(1))).run(async { Ok(answer("x")) }).wait().await.unwrap();
        }
    });
}

/// Whatever callers and works do, each caller hears of an end, and nothing is left.
#[test]
fn nothing_is_lost_in_a_crowd_that_comes_and_goes() {
    run(async {
        let flights = Arc::new(AnswerFlights::default());
        let works = Arc::new(AtomicUsize::new(0));
        let mut calls = JoinSet::new();
        for number in 0..4_000 {
            let (flights, works) = (flights.clone(), works.clone());
            calls.spawn(async move {
                let mut random = SmallRng::seed_from_u64(number);
                for _ in 0..random.random_range(0..8) {
                    yield_now().await;
                }
                let (steps, how) = (random.random_range(0..20), random.random_range(0..10));
                let follow = match flights.join(key(random.random_range(0..5))) {
                    Joined::Follower(follow) => follow,
                    Joined::Leader(lead) if how == 0 => {
                        drop(lead);
                        return;
                    }
                    Joined::Leader(lead) => lead.run(async move {
                        works.fetch_add(1, SeqCst);
                        for _ in 0..steps {
                            yield_now().await;
                        }
                        match how {
                            1 => Err(GatewayError::provider_timeout("p").into()),
                            2 => std::panic::resume_unwind(Box::new("in the shared work")),
                            _ => Ok(answer("x")),
                        }
                    }),
                };
                if random.random_bool(0.3) {
                    let stay = async {
                        for _ in 0..random.random_range(0..10) {
                            yield_now().await;
                        }
                    };
                    tokio::select! { biased; () = stay => {}, _ = follow.wait() => {} }
                } else {
                    let _ = follow.wait().await;
                }
            });
        }
        calls.join_all().await;
        assert_eq!(flights.open(), 0);
        assert!((1..4_000).contains(&works.load(SeqCst)));
    });
}
