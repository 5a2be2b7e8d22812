//! A policy's limits: when they are exceeded, when they warn, and how both are put into words.

use super::amount::{Amount, Range};
use gateway_model::Usd;
use gateway_model::config::{BudgetLimits, BudgetWindow};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metric {
    Total,
    Input,
    Output,
    Cost,
}

/// What a policy's limits are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// The sum of a window.
    Window,
    /// A single call.
    Request,
}

impl Subject {
    pub fn of(window: &BudgetWindow) -> Self {
        if *window == BudgetWindow::Request { Self::Request } else { Self::Window }
    }

    /// The first exceeded limit in this order gives the reason.
    fn order(self) -> [Metric; 4] {
        match self {
            Self::Window => [Metric::Total, Metric::Input, Metric::Output, Metric::Cost],
            Self::Request => [Metric::Input, Metric::Cost, Metric::Output, Metric::Total],
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Within,
    Exceeded(Metric),
    /// The bounds lie on either side of a limit.
    Unsure,
}

#[derive(Debug, Clone, Copy)]
struct CostLimit {
    dollars: f64,
    limit: Usd,
    warning: Usd,
}

/// Limits as they are compared: 0 and absent are gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    total: Option<u64>,
    input: Option<u64>,
    output: Option<u64>,
    cost: Option<CostLimit>,
    warn_at: Option<f64>,
}

impl From<&BudgetLimits> for Limits {
    fn from(limits: &BudgetLimits) -> Self {
        let tokens = |limit: Option<u64>| limit.filter(|&limit| limit > 0);
        let warn_at = limits.warn_at.unwrap_or_default();
        let number = |limit: Option<f64>| limit.filter(|&limit| limit != 0.0 && !limit.is_nan());
        Self {
            total: tokens(limits.max_total_tokens),
            input: tokens(limits.max_input_tokens),
            output: tokens(limits.max_output_tokens),
            cost: number(limits.max_cost_usd).map(|dollars| CostLimit {
                dollars,
                limit: Usd::from_dollars(dollars),
                warning: Usd::from_dollars(dollars * warn_at),
            }),
            warn_at: number(limits.warn_at),
        }
    }
}

impl Limits {
    /// No limit is set.
    pub fn is_empty(&self) -> bool {
        self.total.is_none() && self.input.is_none() && self.output.is_none() && self.cost.is_none()
    }

    pub fn has_cost(&self) -> bool {
        self.cost.is_some()
    }

    /// Input tokens, output tokens, their sum, picodollars; `None`: not limited.
    pub fn places(&self) -> [Option<i64>; 4] {
        let tokens = |limit: Option<u64>| limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        let cost = self
            .cost
            .map(|cost| cost.limit.picodollars().map_or(0, |limit| i64::try_from(limit).unwrap_or(i64::MAX)));
        [tokens(self.input), tokens(self.output), tokens(self.total), cost]
    }

    /// Compares what may lie anywhere in `range`.
    pub fn judge(&self, subject: Subject, range: &Range) -> Verdict {
        for metric in subject.order() {
            if self.exceeded(metric, &range.low) {
                return Verdict::Exceeded(metric);
            }
            if self.exceeded(metric, &range.high) {
                return Verdict::Unsure;
            }
        }
        Verdict::Within
    }

    /// Whether `amount` has reached the warning fraction of some limit.
    pub fn warns(&self, amount: &Amount) -> bool {
        Subject::Window.order().into_iter().any(|metric| self.reaches_warning(metric, amount))
    }

    /// Why `amount` is refused or warned of, `metric` being what [`Limits::judge`] found exceeded.
    pub fn reason(&self, subject: Subject, metric: Metric, amount: &Amount) -> String {
        let limit = self.limit_text(metric);
        match (subject, metric) {
            (Subject::Window, Metric::Total) => format!("total tokens {} > limit {limit}", amount.total()),
            (Subject::Window, Metric::Input) => format!("input tokens exceeded limit {limit}"),
            (Subject::Window, Metric::Output) => format!("output tokens exceeded limit {limit}"),
            (Subject::Window, Metric::Cost) => format!("cost {} > limit {limit}", cost_text(amount.cost)),
            (Subject::Request, Metric::Total) => {
                format!("request total tokens {} > limit {limit}", amount.total())
            }
            (Subject::Request, Metric::Input) => {
                format!("request input tokens {} > limit {limit}", amount.input)
            }
            (Subject::Request, Metric::Output) => {
                format!("request output tokens {} > limit {limit}", amount.output)
            }
            (Subject::Request, Metric::Cost) => format!("request cost > limit {limit}"),
        }
    }

    /// The warning for going from `before` to `after`, if that reached the warning fraction of some limit.
    pub fn crossing(&self, before: &Amount, after: &Amount) -> Option<String> {
        let warn_at = self.warn_at?;
        let crossed: Vec<String> = Subject::Window
            .order()
            .into_iter()
            .filter(|&metric| !self.reaches_warning(metric, before) && self.reaches_warning(metric, after))
            .map(|metric| {
                let limit = self.limit_text(metric);
                match metric {
                    Metric::Total => format!("total tokens {} of {limit}", after.total()),
                    Metric::Input => format!("input tokens {} of {limit}", after.input),
                    Metric::Output => format!("output tokens {} of {limit}", after.output),
                    Metric::Cost => format!("cost {} of {limit}", cost_text(after.cost)),
                }
            })
            .collect();
        (!crossed.is_empty()).then(|| {
            let percent = js_number((warn_at * 1e4).round() / 1e2);
            format!("{percent}% of the budget is used: {}", crossed.join(", "))
        })
    }

    fn exceeded(&self, metric: Metric, amount: &Amount) -> bool {
        let over = |limit: Option<u64>, tokens: u128| limit.is_some_and(|limit| tokens > u128::from(limit));
        match metric {
            Metric::Total => over(self.total, amount.total()),
            Metric::Input => over(self.input, amount.input),
            Metric::Output => over(self.output, amount.output),
            Metric::Cost => self.cost.is_some_and(|cost| amount.cost > cost.limit),
        }
    }

    fn reaches_warning(&self, metric: Metric, amount: &Amount) -> bool {
        let Some(warn_at) = self.warn_at else { return false };
        let reached = |limit: Option<u64>, tokens: u128| {
            limit.is_some_and(|limit| tokens as f64 >= limit as f64 * warn_at)
        };
        match metric {
            Metric::Total => reached(self.total, amount.total()),
            Metric::Input => reached(self.input, amount.input),
            Metric::Output => reached(self.output, amount.output),
            Metric::Cost => self.cost.is_some_and(|cost| amount.cost >= cost.warning),
        }
    }

    fn limit_text(&self, metric: Metric) -> String {
        let tokens = |limit: Option<u64>| limit.map_or_else(String::new, |limit| js_number(limit as f64));
        match metric {
            Metric::Total => tokens(self.total),
            Metric::Input => tokens(self.input),
            Metric::Output => tokens(self.output),
            Metric::Cost => {
                self.cost.map_or_else(String::new, |cost| format!("${}", js_number(cost.dollars)))
            }
        }
    }
}

/// As JavaScript's `toFixed(4)`, which rounds halves up where Rust rounds them to even.
fn cost_text(cost: Usd) -> String {
    let dollars = cost.dollars();
    // Only odd multiples of 1/32 lie exactly halfway between two multiples of 1/10,000.
    let halfway = (dollars * 32.0) % 2.0 == 1.0;
    format!("${:.4}", if halfway { dollars + 1e-5 } else { dollars })
}

/// As JavaScript prints a number: `1`, `0.5`, `1e+21`.
fn js_number(number: f64) -> String {
    if number != 0.0 && number.abs() < 1e-6 {
        format!("{number:e}")
    } else if number.abs() >= 1e21 {
        format!("{number:e}").replace('e', "e+")
    } else {
        number.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(input: u128, output: u128, dollars: f64) -> Amount {
        Amount { input, output, either: 0, cost: Usd::from_dollars(dollars) }
    }

    #[test]
    fn numbers_print_as_in_javascript() {
        let printed = [1.0, 0.5, 10.25, 1e21, 1.5e300, 1e-7, 1e-6, 1e20, -3.0].map(js_number);
        assert_eq!(
            printed,
            ["1", "0.5", "10.25", "1e+21", "1.5e+300", "1e-7", "0.000001", "100000000000000000000", "-3"]
        );
        let fixed =
            [0.03125, 0.09375, 1.5, 0.00004, 0.00006].map(|dollars| cost_text(Usd::from_dollars(dollars)));
        assert_eq!(fixed, ["$0.0313", "$0.0938", "$1.5000", "$0.0000", "$0.0001"]);
    }

    #[test]
    fn the_first_limit_in_order_is_the_reason() {
        let limits = Limits::from(&BudgetLimits {
            max_input_tokens: Some(10),
            max_output_tokens: Some(10),
            max_total_tokens: Some(10),
            max_cost_usd: Some(1.0),
            warn_at: None,
        });
        let judge = |subject, amount: Amount| limits.judge(subject, &Range::from(amount));
        assert_eq!(judge(Subject::Window, amount(11, 11, 2.0)), Verdict::Exceeded(Metric::Total));
        assert_eq!(judge(Subject::Request, amount(11, 11, 2.0)), Verdict::Exceeded(Metric::Input));
        assert_eq!(judge(Subject::Request, amount(0, 11, 2.0)), Verdict::Exceeded(Metric::Cost));
        assert_eq!(judge(Subject::Request, amount(0, 11, 0.0)), Verdict::Exceeded(Metric::Output));
        assert_eq!(judge(Subject::Window, amount(5, 5, 1.0)), Verdict::Within);
    }

    #[test]
    fn bounds_on_either_side_of_a_limit_decide_nothing() {
        let limits = Limits::from(&BudgetLimits { max_input_tokens: Some(10), ..BudgetLimits::default() });
        let range = Range { low: amount(0, 0, 0.0), high: amount(11, 0, 0.0) };
        assert_eq!(limits.judge(Subject::Window, &range), Verdict::Unsure);
    }

    #[test]
    fn zero_is_no_limit() {
        let limits = BudgetLimits {
            max_input_tokens: Some(0),
            max_output_tokens: Some(0),
            max_total_tokens: Some(0),
            max_cost_usd: Some(0.0),
            warn_at: Some(0.5),
        };
        assert!(Limits::from(&limits).is_empty());
    }
}
