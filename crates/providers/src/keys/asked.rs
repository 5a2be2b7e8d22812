//! A key that the program is asked for: when it is first needed, and again once it is refused.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use http::header::{HeaderName, HeaderValue};
use tokio::time::Instant;

use super::source::KeySource;
use crate::build::KeyCarrier;
use crate::http::GivenSecrets;
use gateway_model::error::{ErrorKind, GatewayError};
use gateway_transport::Endpoint;

type Answer = Result<Arc<HeldKey>, Arc<str>>;

/// The key of an entry, as its program gives it. However many calls need it, one question is under way at a time.
pub struct AskedKey(Arc<Asked>);

struct Asked {
    provider: String,
    /// What errors call the key.
    label: String,
    source: Arc<dyn KeySource>,
    carrier: KeyCarrier,
    /// A question that has no answer by then is given up once another call needs the key.
    patience: Duration,
    /// Keys that were given: they show nowhere.
    secrets: GivenSecrets,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Arc<HeldKey>>,
    asking: Option<Asking>,
    /// Questions so far.
    questions: u64,
}

struct Asking {
    since: Instant,
    answer: Shared<BoxFuture<'static, Answer>>,
}

/// A key that was given.
pub struct HeldKey {
    /// The number of the question that it answers.
    question: u64,
    text: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl HeldKey {
    pub fn text(&self) -> &str {
        &self.text
    }

    /// `endpoint` with this key in its headers.
    pub fn at<'e>(&self, endpoint: &'e Endpoint) -> Cow<'e, Endpoint> {
        let Some((name, value)) = &self.header else { return Cow::Borrowed(endpoint) };
        let mut own = endpoint.clone();
        own.headers_mut().insert(name.clone(), value.clone());
        Cow::Owned(own)
    }

    /// Whether the upstream would see no difference.
    pub fn is_same(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl AskedKey {
    pub fn new(
        provider: String,
        label: String,
        source: Arc<dyn KeySource>,
        carrier: KeyCarrier,
        patience: Duration,
        secrets: GivenSecrets,
    ) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Asked { provider, label, source, carrier, patience, secrets, state }))
    }

    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// The key that is held, or the one that the program gives now.
    ///
    /// # Errors
    /// `provider_auth`: the program gives none.
    pub async fn get(&self) -> Result<Arc<HeldKey>, GatewayError> {
        let answer = {
            let mut state = self.0.state();
            match &state.held {
                Some(held) => return Ok(held.clone()),
                None => self.0.clone().question(&mut state),
            }
        };
        answer.await.map_err(|why| self.0.error(&why))
    }

    /// The upstream has refused the key: it is asked for again, unless that has been done since.
    pub fn refused(&self, key: &HeldKey) {
        let mut state = self.0.state();
        if state.held.as_ref().is_some_and(|held| held.question == key.question) {
            state.held = None;
        }
    }
}

impl Asked {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The question that is under way, or a new one.
    fn question(self: Arc<Self>, state: &mut State) -> Shared<BoxFuture<'static, Answer>> {
        if let Some(asking) = &state.asking
            && asking.since.elapsed() < self.patience
        {
            return asking.answer.clone();
        }
        state.questions += 1;
        let (question, asked) = (state.questions, Arc::downgrade(&self));
        let source = self.source.clone();
        // Begins when it is first polled: nothing of the program's runs under the lock.
        let ask = async move {
            let given = source.ask().await;
            let Some(asked) = asked.upgrade() else { return Err(Arc::from("the gateway is gone")) };
            asked.answered(question, given)
        };
        let answer = ask.boxed().shared();
        state.asking = Some(Asking { since: Instant::now(), answer: answer.clone() });
        answer
    }

    fn answered(&self, question: u64, given: Result<String, String>) -> Answer {
        let answer = given.map_err(Arc::from).and_then(|text| self.hold(question, text));
        let mut state = self.state();
        // One that was given up changes nothing.
        if state.questions == question {
            state.asking = None;
            state.held = answer.as_ref().ok().cloned();
        }
        answer
    }

    fn hold(&self, question: u64, text: String) -> Answer {
        let text = text.trim().to_owned();
        if text.is_empty() {
            return Err(Arc::from("it gave no key: it must return text that is not empty"));
        }
        self.secrets.add(&text);
        let header =
            self.carrier.carry(&text, "the key").map_err(|problem| Arc::from(problem.to_string()))?;
        Ok(Arc::new(HeldKey { question, text, header }))
    }

    fn error(&self, why: &str) -> GatewayError {
        let error = GatewayError::provider_auth(&self.provider);
        let message = self.secrets.redact(format!("{}: {}: {why}", error.message, self.label));
        GatewayError { message, ..error }
    }
}

/// Whether an error says that the key is not accepted.
pub fn is_key_refused(error: &GatewayError) -> bool {
    error.kind == ErrorKind::ProviderAuth && error.reason.is_none()
}

#[cfg(test)]
mod tests;
