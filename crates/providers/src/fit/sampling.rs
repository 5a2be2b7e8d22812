//! How a model's sampling may be set.

use crate::settings::CallSettings;

/// What a model takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingRules {
    /// The highest temperature.
    pub max_temperature: f64,
    /// The temperature and `topP` are the model's own.
    pub fixed: bool,
    /// `topP` is refused beside a temperature.
    pub one_alone: bool,
    /// Penalties are refused.
    pub no_penalties: bool,
}

impl SamplingRules {
    /// Anything within the usual bounds.
    pub const USUAL: Self =
        Self { max_temperature: 2.0, fixed: false, one_alone: false, no_penalties: false };
}

/// The lowest and highest penalty.
const PENALTY: f64 = 2.0;
const FIXED: &str = "Left out: this model's sampling is fixed.";
const BESIDE: &str = "Left out: this model takes no topP beside a temperature.";
const NO_PENALTIES: &str = "Left out: this model takes no penalties.";

/// Numbers that set a model's sampling.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sampling {
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub presence_penalty: Option<f64>,
    pub frequency_penalty: Option<f64>,
}

/// What is left of the call's settings, and warnings of the rest.
pub fn fit_sampling(settings: &mut CallSettings<'_>, rules: SamplingRules) {
    let Sampling { temperature, top_p, presence_penalty, frequency_penalty } = settings.sampling();
    let mut told: Vec<(&'static str, String)> = Vec::new();
    let mut drop_unless = |keeps: bool, field: &'static str, value: Option<f64>, default: f64, why: &str| {
        let value = value.filter(|_| !keeps)?;
        // The model's own value may be named.
        if (value - default).abs() > f64::EPSILON {
            told.push((field, why.to_owned()));
        }
        Some(value)
    };
    let both = temperature.is_some() && top_p.is_some() && rules.one_alone && !rules.fixed;
    let dropped = Sampling {
        temperature: drop_unless(!rules.fixed, "temperature", temperature, 1.0, FIXED),
        top_p: drop_unless(!rules.fixed, "topP", top_p, 1.0, FIXED)
            .or_else(|| drop_unless(!both, "topP", top_p, 1.0, BESIDE)),
        presence_penalty: drop_unless(
            !rules.no_penalties,
            "presencePenalty",
            presence_penalty,
            0.0,
            NO_PENALTIES,
        ),
        frequency_penalty: drop_unless(
            !rules.no_penalties,
            "frequencyPenalty",
            frequency_penalty,
            0.0,
            NO_PENALTIES,
        ),
    };
    let mut clamp = |field: &'static str, value: Option<f64>, dropped: Option<f64>, low: f64, high: f64| {
        let value = value.filter(|_| dropped.is_none())?;
        let fitted = value.clamp(low, high);
        if fitted != value {
            told.push((field, format!("Sent as {fitted}, the nearest that is taken.")));
        }
        Some(fitted)
    };
    let fitted = Sampling {
        temperature: clamp("temperature", temperature, dropped.temperature, 0.0, rules.max_temperature),
        top_p: clamp("topP", top_p, dropped.top_p, 0.0, 1.0),
        presence_penalty: clamp(
            "presencePenalty",
            presence_penalty,
            dropped.presence_penalty,
            -PENALTY,
            PENALTY,
        ),
        frequency_penalty: clamp(
            "frequencyPenalty",
            frequency_penalty,
            dropped.frequency_penalty,
            -PENALTY,
            PENALTY,
        ),
    };
    settings.set_sampling(fitted);
    for (field, reason) in told {
        settings.warn(field, reason);
    }
}
