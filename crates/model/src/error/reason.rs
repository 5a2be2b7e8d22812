//! What a failure is about, told apart by the upstream's own type and code, then by its status, then by its words.

use super::{ErrorKind, UpstreamReport};

/// What a failure is about, where its kind does not say it: `details.reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The key's or the account's quota or credit is used up.
    InsufficientQuota,
    /// The request's content was refused by a moderation.
    ContentFilter,
    /// The request is larger than the model or the account's limit can ever take.
    RequestTooLarge,
    /// The service has no such model.
    ModelNotFound,
    /// The answer is not the JSON that was asked for.
    NotJson,
}

impl Reason {
    pub fn word(self) -> &'static str {
        match self {
            Self::InsufficientQuota => "insufficient_quota",
            Self::ContentFilter => "content_filter",
            Self::RequestTooLarge => "request_too_large",
            Self::ModelNotFound => "model_not_found",
            Self::NotJson => "not_json",
        }
    }
}

/// How a report is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub status: u16,
    pub kind: ErrorKind,
    pub reason: Option<Reason>,
}

/// Judges what came with `status`: a success's is not the failure's own.
pub(super) fn judge(status: u16, report: &UpstreamReport) -> Verdict {
    let named = [&report.code, &report.kind].map(|word| word.as_deref().and_then(meaning_of));
    let certain = named.into_iter().flatten().find(|meaning| meaning.is_certain());
    let reason =
        if report.is_flagged { Some(Reason::ContentFilter) } else { reason_of(certain, &report.message) };
    let status = if (200..300).contains(&status) {
        let meant = certain.or(named.into_iter().flatten().next()).map(Meaning::status);
        report.status.or(meant).unwrap_or(status)
    } else {
        status
    };
    // A request of that name is no model: services say "not found" of many things.
    let reason =
        reason.filter(|reason| *reason != Reason::ModelNotFound || matches!(status, 400 | 403 | 404 | 422));
    let kind = match (reason, certain) {
        (Some(Reason::ContentFilter | Reason::ModelNotFound), _) => ErrorKind::ProviderResponse,
        (None, Some(Meaning::Auth)) => ErrorKind::ProviderAuth,
        (None, Some(Meaning::RateLimit)) => ErrorKind::ProviderRateLimit,
        _ => of_status(status),
    };
    Verdict { status, kind, reason }
}

impl UpstreamReport {
    /// What it is about, where it came with `status`.
    pub fn reason(&self, status: u16) -> Option<Reason> {
        judge(status, self).reason
    }
}

fn of_status(status: u16) -> ErrorKind {
    match status {
        401 | 403 => ErrorKind::ProviderAuth,
        429 => ErrorKind::ProviderRateLimit,
        408 | 504 => ErrorKind::ProviderTimeout,
        _ => ErrorKind::ProviderResponse,
    }
}

/// What a word that services write as a type or a code stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Auth,
    RateLimit,
    Quota,
    Content,
    TooLarge,
    NoModel,
    // Words for a class of failures: a status beside them says more.
    NotFound,
    BadRequest,
    Timeout,
    Overloaded,
    Unavailable,
    Server,
}

impl Meaning {
    /// It holds whatever the status is.
    fn is_certain(self) -> bool {
        matches!(
            self,
            Self::Auth | Self::RateLimit | Self::Quota | Self::Content | Self::TooLarge | Self::NoModel
        )
    }

    /// The status that services send it with.
    fn status(self) -> u16 {
        match self {
            Self::Auth => 401,
            Self::RateLimit | Self::Quota => 429,
            Self::Content | Self::BadRequest => 400,
            Self::TooLarge => 413,
            Self::NoModel | Self::NotFound => 404,
            Self::Timeout => 504,
            Self::Overloaded => 529,
            Self::Unavailable => 503,
            Self::Server => 500,
        }
    }
}

/// Types and codes as the services' references list them: OpenAI and those that speak like it, Anthropic
/// (`docs.anthropic.com/en/api/errors`), Google (`google.rpc.Code`), AWS (Bedrock's common errors), DashScope, Zhipu, MiniMax
/// and Moonshot.
fn meaning_of(word: &str) -> Option<Meaning> {
    let plain: String =
        word.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let plain = plain.strip_suffix("exception").unwrap_or(&plain);
    Some(match plain.strip_suffix("error").filter(|rest| !rest.is_empty()).unwrap_or(plain) {
        "authentication"
        | "unauthorized"
        | "unauthenticated"
        | "permission"
        | "permissiondenied"
        | "accessdenied"
        | "invalidapikey"
        | "apikeyinvalid"
        | "incorrectapikey"
        | "invalidauthentication"
        | "incorrectapikeyerror"
        | "unrecognizedclient"
        | "expiredtoken"
        | "invalidsignature"
        | "accountdeactivated"
        | "1004" => Meaning::Auth,
        "ratelimit"
        | "ratelimitexceeded"
        | "ratelimitreached"
        | "resourceexhausted"
        | "throttling"
        | "throttled"
        | "toomanyrequests"
        | "requestlimitexceeded"
        | "throttlingratequota"
        | "throttlingburstrate"
        | "throttlingallocationquota"
        | "limitrequests"
        | "limitburstrate"
        | "1002"
        | "1302"
        | "1303" => Meaning::RateLimit,
        "insufficientquota"
        | "exceededcurrentquota"
        | "billing"
        | "billinghardlimitreached"
        | "billingnotactive"
        | "insufficientbalance"
        | "insufficientfunds"
        | "insufficientcredits"
        | "paymentrequired"
        | "arrearage"
        | "creditbalancetoolow"
        | "allocationquotafreetieronly"
        | "1008"
        | "1113" => Meaning::Quota,
        "contentpolicyviolation"
        | "contentpolicy"
        | "contentfilter"
        | "contentfiltered"
        | "contentmoderation"
        | "moderation"
        | "moderationblocked"
        | "policyviolation"
        | "responsibleaipolicyviolation"
        | "invalidprompt"
        | "datainspectionfailed"
        | "sensitivecontent"
        | "guardrailintervened"
        | "1026"
        | "1027"
        | "1301" => Meaning::Content,
        "contextlengthexceeded"
        | "contextwindowexceeded"
        | "requesttoolarge"
        | "prompttoolong"
        | "stringabovemaxlength"
        | "requestentitytoolarge"
        | "payloadtoolarge"
        | "1039"
        | "1261" => Meaning::TooLarge,
        "modelnotfound" | "modelnotexist" | "unknownmodel" | "deploymentnotfound" | "1211" => {
            Meaning::NoModel
        }
        "notfound" | "resourcenotfound" => Meaning::NotFound,
        "invalidrequest"
        | "badrequest"
        | "invalidargument"
        | "invalidparameter"
        | "invalidvalue"
        | "validation"
        | "unsupportedparameter"
        | "unsupportedvalue"
        | "missingrequiredparameter"
        | "unprocessableentity"
        | "failedprecondition"
        | "2013" => Meaning::BadRequest,
        "timeout" | "gatewaytimeout" | "requesttimeout" | "modeltimeout" | "deadlineexceeded" | "1001" => {
            Meaning::Timeout
        }
        "overloaded" => Meaning::Overloaded,
        "engineoverloaded" | "serviceunavailable" | "unavailable" | "modelnotready" | "modeloverloaded"
        | "1305" => Meaning::Unavailable,
        "server" | "internal" | "internalserver" | "internalfailure" | "api" | "modelstream" | "1000"
        | "1013" => Meaning::Server,
        _ => return None,
    })
}

/// Some services have a code that says little and words that say it all.
fn reason_of(certain: Option<Meaning>, message: &str) -> Option<Reason> {
    const TOO_LARGE: [&str; 7] = [
        "request too large",
        "request is too large",
        "prompt is too long",
        "input is too long",
        "maximum context length",
        "exceeds the context window",
        "exceed context limit",
    ];
    const QUOTA: [&str; 4] =
        ["credit balance is too low", "insufficient balance", "insufficient credits", "more credits"];
    const CONTENT: [&str; 3] = ["content exists risk", "flagged by our", "was flagged"];
    match certain {
        Some(Meaning::Quota) => return Some(Reason::InsufficientQuota),
        Some(Meaning::Content) => return Some(Reason::ContentFilter),
        Some(Meaning::TooLarge) => return Some(Reason::RequestTooLarge),
        Some(Meaning::NoModel) => return Some(Reason::ModelNotFound),
        // "Request too large for … tokens per minute" comes as a rate limit.
        Some(_) | None => {}
    }
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&TOO_LARGE) {
        Some(Reason::RequestTooLarge)
    } else if says(&QUOTA) {
        Some(Reason::InsufficientQuota)
    } else if says(&CONTENT) {
        Some(Reason::ContentFilter)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> (u16, ErrorKind, Option<Reason>) {
        let Verdict { status, kind, reason } = judge(status, &UpstreamReport::read(body));
        (status, kind, reason)
    }

    #[test]
    fn an_error_inside_a_success_has_the_status_that_it_names() {
        for (body, expected) in [
            (r#"{"error":{"type":"overloaded_error","message":"m"}}"#, (529, ErrorKind::ProviderResponse)),
            (r#"{"error":{"type":"rate_limit_error","message":"m"}}"#, (429, ErrorKind::ProviderRateLimit)),
            (r#"{"error":{"type":"authentication_error","message":"m"}}"#, (401, ErrorKind::ProviderAuth)),
            (r#"{"error":{"code":429,"message":"m"}}"#, (429, ErrorKind::ProviderRateLimit)),
            (r#"{"error":{"code":"503","message":"m"}}"#, (503, ErrorKind::ProviderResponse)),
            (r#"{"error":{"type":"server_error","message":"m"}}"#, (500, ErrorKind::ProviderResponse)),
            (r#"{"error":{"status":"DEADLINE_EXCEEDED","message":"m"}}"#, (504, ErrorKind::ProviderTimeout)),
            (r#"{"error":"m"}"#, (200, ErrorKind::ProviderResponse)),
        ] {
            let (status, kind, reason) = judged(200, body);
            assert_eq!(((status, kind), reason), (expected, None), "{body}");
        }
    }

    #[test]
    fn type_and_code_decide_before_the_status() {
        use Reason::{ContentFilter, InsufficientQuota, ModelNotFound, RequestTooLarge};
        for (status, body, kind, reason) in [
            (400, r#"{"error":{"code":"invalid_api_key","message":"m"}}"#, ErrorKind::ProviderAuth, None),
            (
                500,
                r#"{"error":{"code":"rate_limit_exceeded","message":"m"}}"#,
                ErrorKind::ProviderRateLimit,
                None,
            ),
            (
                403,
                r#"{"error":{"code":403,"message":"m","metadata":{"reasons":["x"],"flagged_input":"y"}}}"#,
                ErrorKind::ProviderResponse,
                Some(ContentFilter),
            ),
            (
                400,
                r#"{"error":{"code":"content_filter","message":"m","status":400}}"#,
                ErrorKind::ProviderResponse,
                Some(ContentFilter),
            ),
            (
                429,
                r#"{"error":{"type":"insufficient_quota","code":"insufficient_quota","message":"m"}}"#,
                ErrorKind::ProviderRateLimit,
                Some(InsufficientQuota),
            ),
            (
                400,
                r#"{"error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#,
                ErrorKind::ProviderResponse,
                Some(InsufficientQuota),
            ),
            (
                429,
                r#"{"error":{"code":"rate_limit_exceeded","message":"Request too large for m on tokens per min"}}"#,
                ErrorKind::ProviderRateLimit,
                Some(RequestTooLarge),
            ),
            (
                400,
                r#"{"error":{"code":"context_length_exceeded","message":"m"}}"#,
                ErrorKind::ProviderResponse,
                Some(RequestTooLarge),
            ),
            (
                404,
                r#"{"error":{"code":"model_not_found","message":"m"}}"#,
                ErrorKind::ProviderResponse,
                Some(ModelNotFound),
            ),
            (
                401,
                r#"{"error":{"type":"invalid_request_error","message":"m"}}"#,
                ErrorKind::ProviderAuth,
                None,
            ),
            (403, "no", ErrorKind::ProviderAuth, None),
            (500, "upstream is busy", ErrorKind::ProviderResponse, None),
        ] {
            assert_eq!(judged(status, body), (status, kind, reason), "{status} {body}");
        }
    }
}
