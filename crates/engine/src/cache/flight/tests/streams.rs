use super::*;

type Batch = Result<Vec<StreamEvent>, GatewayError>;

/// Batches, one for each read.
struct Script {
    batches: VecDeque<Batch>,
    reads: Arc<AtomicUsize>,
    panics: bool,
    _flag: Option<Flag>,
}

impl Script {
    fn new(batches: impl IntoIterator<Item = Batch>) -> (Self, Arc<AtomicUsize>) {
        let reads = Arc::new(AtomicUsize::new(0));
        let batches = batches.into_iter().collect();
        (Self { batches, reads: reads.clone(), panics: false, _flag: None }, reads)
    }

    fn numbers(count: usize) -> (Self, Arc<AtomicUsize>) {
        Self::new((0..count).map(|number| Ok(vec![StreamEvent::text(format!("{number} "))])))
    }
}

impl EventSource for Script {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            yield_now().await;
            self.reads.fetch_add(1, SeqCst);
            match self.batches.pop_front() {
                Some(batch) => into.extend(batch?),
                None if self.panics => std::panic::resume_unwind(Box::new("in the source")),
                None => return Ok(false),
            }
            Ok(true)
        })
    }
}

type Opened = Result<(&'static str, Box<dyn EventSource>), Failure>;

async fn opened(script: Script) -> Opened {
    yield_now().await;
    Ok(("head", Box::new(script) as Box<dyn EventSource>))
}

/// All that comes, and how it ends.
async fn collect(mut source: impl EventSource) -> (String, Result<(), Failure>) {
    let mut events = Vec::new();
    let end = loop {
        match source.next(&mut events).await {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    (events.iter().collect::<AnswerBuilder>().finish().content, end)
}

fn numbers(count: usize) -> String {
    (0..count).map(|number| format!("{number} ")).collect()
}

#[test]
fn every_reader_reads_from_the_beginning_and_the_upstream_is_read_once() {
    run(async {
        let flights = Arc::new(StreamFlights::default());
        let (script, reads) = Script::numbers(100);
        let mut readers = JoinSet::new();
        readers.spawn(lead(flights.join(key(1))).run(opened(script)).open());
        for _ in 0..300 {
            readers.spawn(follow(flights.join(key(1))).open());
        }
        let mut reading = JoinSet::new();
        for (number, opened) in readers.join_all().await.into_iter().enumerate() {
            let (head, stream) = opened.unwrap();
            assert_eq!(head, "head");
            reading.spawn(async move {
                for _ in 0..number % 7 {
                    yield_now().await;
                }
                collect(stream).await
            });
        }
        for (text, end) in reading.join_all().await {
            assert_eq!(text, numbers(100));
            end.unwrap();
        }
        assert_eq!((reads.load(SeqCst), flights.open()), (101, 0));
    });
}

#[test]
fn the_upstream_is_read_as_fast_as_the_fastest_reader_takes() {
    run(async {
        let flights = StreamFlights::default();
        let (script, reads) = Script::numbers(10);
        let leader = lead(flights.join(key(1))).run(opened(script));
        let (_, mut fast) = leader.open().await.unwrap();
        let (_, slow) = follow(flights.join(key(1))).open().await.unwrap();
        let mut events = Vec::new();
        for taken in 0..4 {
            sleep(Duration::from_millis(10)).await;
            assert_eq!((reads.load(SeqCst), events.len()), (taken, taken));
            assert!(fast.next(&mut events).await.unwrap());
        }
        assert_eq!(reads.load(SeqCst), 4);
        // The slow one has its four at once, and then sets the pace itself.
        let (text, _) = collect(slow).await;
        assert_eq!(text, numbers(10));
        assert_eq!((reads.load(SeqCst), flights.open()), (11, 0));
        // The flight is over; the rest is there all the same.
        assert_eq!(collect(fast).await.0, numbers(10).split_at(8).1);
    });
}

#[test]
fn who_joins_late_has_missed_nothing_and_a_wait_given_up_loses_nothing() {
    run(async {
        let flights = StreamFlights::default();
        let (script, _) = Script::numbers(50);
        let leader = lead(flights.join(key(1))).run(opened(script));
        let (_, mut first) = leader.open().await.unwrap();
        let mut events = Vec::new();
        while events.len() < 20 {
            tokio::select! {
                biased;
                more = first.next(&mut events) => assert!(more.unwrap()),
                () = yield_now() => {}
            }
        }
        let late = follow(flights.join(key(1))).open().await.unwrap().1;
        drop(first);
        assert_eq!(collect(late).await.0, numbers(50));
    });
}

#[test]
fn when_all_have_left_the_source_is_dropped() {
    run(async {
        for is_open in [false, true] {
            let flights = StreamFlights::default();
            let (flag, is_dropped) = Flag::new();
            let (mut script, _) = Script::numbers(5);
            script._flag = Some(flag);
            let leader = lead(flights.join(key(1))).run(async move {
                if is_open {
                    opened(script).await
                } else {
                    let _script = script;
                    std::future::pending::<Opened>().await
                }
            });
            let follower = follow(flights.join(key(1)));
            if is_open {
                let mut stream = leader.open().await.unwrap().1;
                stream.next(&mut Vec::new()).await.unwrap();
            } else {
                drop(leader);
            }
            sleep(Duration::from_millis(5)).await;
            assert!(!is_dropped());
            drop(follower);
            assert_eq!(flights.open(), 0);
            until(is_dropped).await;
        }
    });
}

#[test]
fn failures_and_panics_come_to_all_after_what_came_before_them() {
    run(async {
        for panics in [false, true] {
            let flights = StreamFlights::default();
            let mut batches = vec![Ok(vec![StreamEvent::text("a")])];
            if !panics {
                batches.push(Err(GatewayError::provider_timeout("p")));
            }
            let (mut script, _) = Script::new(batches);
            script.panics = panics;
            let leader = lead(flights.join(key(1))).run(opened(script));
            let follower = follow(flights.join(key(1)));
            let expected = if panics { ErrorKind::Internal } else { ErrorKind::ProviderTimeout };
            for caller in [leader, follower] {
                let (text, end) = collect(caller.open().await.unwrap().1).await;
                assert_eq!((text.as_str(), end.unwrap_err().kind()), ("a", Some(expected)));
            }
            assert_eq!(flights.open(), 0);
        }
    });
}

#[test]
fn a_stream_that_does_not_open_fails_for_all() {
    run(async {
        let flights = StreamFlights::default();
        let leader = lead(flights.join(key(1)));
        let follower = follow(flights.join(key(1)));
        let leader = leader.run(async { Opened::Err(GatewayError::provider_timeout("p").into()) });
        for caller in [leader, follower] {
            let failure = caller.open().await.err().unwrap();
            assert_eq!(failure.kind(), Some(ErrorKind::ProviderTimeout));
        }
        assert_eq!(flights.open(), 0);
    });
}

/// Whatever readers do, those who stay read it all, each flight is read once, and nothing is left.
#[test]
fn nothing_is_lost_in_a_crowd_that_comes_and_goes() {
    run(async {
        let flights = Arc::new(StreamFlights::default());
        let mut callers = JoinSet::new();
        for number in 0..2_000 {
            let flights = flights.clone();
            callers.spawn(async move {
                let mut random = SmallRng::seed_from_u64(number);
                for _ in 0..random.random_range(0..30) {
                    yield_now().await;
                }
                let follow = match flights.join(key(random.random_range(0..4))) {
                    Joined::Follower(follow) => follow,
                    Joined::Leader(lead) => lead.run(opened(Script::numbers(30).0)),
                };
                if random.random_bool(0.1) {
                    return;
                }
                let (_, mut stream) = follow.open().await.unwrap();
                if random.random_bool(0.5) {
                    let (text, end) = collect(stream).await;
                    assert_eq!(text, numbers(30));
                    return end.unwrap();
                }
                let mut events = Vec::new();
                while events.len() < random.random_range(1..30) && stream.next(&mut events).await.unwrap() {}
            });
        }
        callers.join_all().await;
        assert_eq!(flights.open(), 0);
    });
}
