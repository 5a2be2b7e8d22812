//! Client keys: whose calls count together, and who shares answers.

use std::sync::Arc;

use gateway_engine::gateway::CallContext;
use gateway_model::error::{ErrorKind, Failure};
use gateway_model::{Caller, ChatRequest, GatewayResponse};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, entry, request};
use crate::upstream::{Play, TOKENS, Upstream};

fn client(key_id: &str, team: &str) -> Option<Arc<Caller>> {
    let team = (!team.is_empty()).then(|| team.to_owned());
    Some(Arc::new(Caller { key_id: key_id.to_owned(), team, owner: None }))
}

async fn call(rig: &Rig, request: Value, caller: Option<Arc<Caller>>) -> Result<GatewayResponse, Failure> {
    let context = CallContext { caller, ..rig.context(&CancellationToken::new()) };
    rig.gateway.chat(ChatRequest::from_json(&request.to_string()).unwrap(), context).await
}

#[tokio::test]
async fn budgets_of_keys_and_teams_count_each_for_itself() {
    let server = Upstream::start(Play::Healthy, 1).await;
    let spent_at_once = TOKENS.0 + TOKENS.1 - 1;
    let policy = |name: &str, scope: Value, limit: u64| {
        json!({"name": name, "scope": scope, "window": {"unit": "week", "timeZone": "Europe/Berlin"},
            "enforcement": "hard", "limits": {"maxTotalTokens": limit}})
    };
    let budgets = [
        policy("each-key", json!({"type": "key"}), spent_at_once),
        policy("red", json!({"type": "team", "key": "red"}), 1_000_000),
    ];
    let rig =
        Rig::new(&[entry("a", &server, json!({}))], json!({"provider": "a"}), json!({"budgets": budgets}));
    for (key, team) in [("k1", "red"), ("k2", "red"), ("k3", "")] {
        call(&rig, request("a"), client(key, team)).await.unwrap();
    }
    call(&rig, request("a"), None).await.unwrap();
    let refused = call(&rig, request("a"), client("k1", "red")).await.unwrap_err();
    assert_eq!(refused.kind(), Some(ErrorKind::BudgetExceeded));
    let standings = rig.gateway.budgets().standings();
    let counts: Vec<_> = standings
        .iter()
        .map(|count| (&*count.policy, count.scope_value.as_deref().unwrap(), count.spent.total_tokens))
        .collect();
    let one = TOKENS.0 + TOKENS.1;
    assert_eq!(
        counts,
        [
            ("each-key", "default", one),
            ("each-key", "k1", one),
            ("each-key", "k2", one),
            ("each-key", "k3", one),
            ("red", "red", 2 * one),
        ]
    );
    assert!(standings.iter().all(|count| count.window_ends_at.is_some()));
}

#[tokio::test]
async fn answers_are_cached_for_each_client_key_apart() {
    let server = Upstream::start(Play::Healthy, 1).await;
    let settings = json!({"settings": {"cache": {"enabled": true}}});
    let rig = Rig::new(&[entry("a", &server, json!({}))], json!({"provider": "a"}), settings);
    let mut of_ada = request("the same");
    of_ada["userId"] = json!("ada");
    let callers = || [client("k1", "red"), client("k2", "red"), None];
    for (number, caller) in callers().into_iter().enumerate() {
        for (which, request) in [request("the same"), of_ada.clone()].into_iter().enumerate() {
            let answer = call(&rig, request, caller.clone()).await.unwrap();
            assert!(!answer.figures.cached, "caller {number}, request {which}");
        }
    }
    for caller in callers() {
        assert!(call(&rig, of_ada.clone(), caller).await.unwrap().figures.cached);
    }
    assert_eq!(server.request_count(), 6);
}
