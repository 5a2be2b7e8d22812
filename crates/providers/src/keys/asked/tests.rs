use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use tokio::time::{advance, timeout};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// Gives `key-1`, `key-2`, …; the questions in `silent` are never answered.
struct Numbered {
    asked: AtomicUsize,
    silent: Vec<usize>,
}

impl KeySource for Numbered {
    fn ask(&self) -> BoxFuture<'static, Result<String, String>> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        if self.silent.contains(&number) {
            return std::future::pending().boxed();
        }
        async move { Ok(format!(" key-number-{number}\n")) }.boxed()
    }
}

fn asked(silent: &[usize]) -> (Arc<Numbered>, AskedKey) {
    let source = Arc::new(Numbered { asked: AtomicUsize::new(0), silent: silent.to_vec() });
    let (name, label) = ("p".to_owned(), "keys.p".to_owned());
    let key =
        AskedKey::new(name, label, source.clone(), KeyCarrier::Bearer, PATIENCE, GivenSecrets::default());
    (source, key)
}

async fn text(key: &AskedKey) -> String {
    key.get().await.unwrap().text().to_owned()
}

#[tokio::test]
async fn calls_at_once_share_one_question_and_its_answer_is_kept() {
    let (source, key) = asked(&[]);
    for held in join_all((0..100).map(|_| key.get())).await {
        assert_eq!(held.unwrap().text(), "key-number-1");
    }
    assert_eq!((text(&key).await, source.asked.load(Ordering::Relaxed)), ("key-number-1".to_owned(), 1));
}

#[tokio::test]
async fn a_key_that_many_calls_lose_is_asked_for_once() {
    let (source, key) = asked(&[]);
    let first = key.get().await.unwrap();
    key.refused(&first);
    assert_eq!(text(&key).await, "key-number-2");
    // Who hears later that the first one is refused takes the second.
    key.refused(&first);
    assert_eq!(text(&key).await, "key-number-2");
    assert_eq!(source.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_is_given_up_in_time() {
    let (source, key) = asked(&[1]);
    assert!(timeout(PATIENCE / 2, key.get()).await.is_err());
    assert!(timeout(PATIENCE / 4, key.get()).await.is_err());
    assert_eq!(source.asked.load(Ordering::Relaxed), 1, "one at a time");
    advance(PATIENCE / 4).await;
    assert_eq!(text(&key).await, "key-number-2");
}

#[tokio::test]
async fn a_call_that_is_left_takes_no_answer_from_the_others() {
    let (source, key) = asked(&[]);
    let (left, stays) = (key.get(), key.get());
    drop(left);
    assert_eq!(stays.await.unwrap().text(), "key-number-1");
    assert_eq!(source.asked.load(Ordering::Relaxed), 1);
}

#[test]
fn keys_and_their_parts_are_kept_out_of_errors() {
    let (_, key) = asked(&[]);
    key.0.secrets.add("AKIDEXAMPLE:secret-part:token-part");
    let error = key.0.error("no use for AKIDEXAMPLE:secret-part:token-part, secret-part or token-part");
    assert_eq!(
        error.message,
        "Provider \"p\" authentication failed: keys.p: no use for [redacted], [redacted] or [redacted]"
    );
    assert_eq!((error.kind, error.retryable), (ErrorKind::ProviderAuth, false));
}
