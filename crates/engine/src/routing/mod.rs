//! Which provider answers: the rules that pick a target, and the candidates that are asked until one answers.
//!
//! The files from bottom to top, each below the next:
//!
//! | | |
//! |---|---|
//! | `health/`, `pool/` | how each target is doing; which member of a pool is next |
//! | `routed`, `attempt_log`, `attempt_admission`, `retry_budget` | who answered; the attempts so far; what bounds further ones |
//! | `call` | what every attempt of a call shares |
//! | `entry`, `matcher` | provider entries; rules against requests |
//! | `model_choice`, `member`, `price_sheet`, `route_pool`, `decision` | a rule's pool over the loaded entries, and what was decided |
//! | `shared_breakers` | breakers over the nodes that share their state |
//! | `router` | the first rule that matches |
//! | `trigger`, `not_loaded`, `candidates` | who may be asked, in turn |
//! | `operation` | what is sent: retries, and the first content of a stream |
//! | `attempt` | breaker → budget → limits → send → record |
//! | `hedge` | attempts at the same time |
//! | `run` | the loop |
//! | `fallback`, `direct` | a call through its candidates; a provider without a gateway |

mod attempt;
mod attempt_admission;
mod attempt_log;
mod call;
mod candidates;
mod charges;
mod decision;
pub mod direct;
mod entry;
pub mod fallback;
pub mod health;
mod hedge;
mod matcher;
mod member;
mod model_choice;
mod not_loaded;
pub mod operation;
pub mod pool;
mod price_sheet;
mod retry_budget;
mod route_pool;
mod routed;
mod router;
mod run;
mod shared_breakers;
mod trigger;

pub use attempt_admission::{AttemptAdmission, AttemptRefusal, Standing};
pub use attempt_log::AttemptLog;
pub use call::{CallOptions, TokenEstimator};
pub use charges::Charge;
pub use decision::{Decision, Hedge, NoRoute};
pub use entry::{ProviderEntry, Providers};
pub use matcher::{Excluded, Matcher, exceeded};
pub use member::Member;
pub use retry_budget::{RetryBudget, RetryToken, SpentToken};
pub use route_pool::RoutePool;
pub use routed::{HedgeLoser, Routed};
pub use router::Router;
pub use shared_breakers::SharedBreakers;
pub use trigger::trigger;
