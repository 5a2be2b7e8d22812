use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use gateway_model::{Role, ToolCall};

/// One model for each way of counting.
const MODELS: [&str; 18] = [
    "gpt-4o",
    "gpt-4",
    "gpt-oss-120b",
    "text-davinci-003",
    "text-davinci-edit-001",
    "davinci",
    "llama-3.1-8b",
    "deepseek-v3",
    "deepseek-chat",
    "qwen2.5-72b",
    "mistral-large",
    "kimi-k2",
    "kimi-latest",
    "glm-4.6",
    "glm-5",
    "minimax-m2",
    "claude-3-haiku",
    "claude-opus-4-7",
];

fn message(content: Content, tool_calls: Vec<ToolCall>) -> Message {
    Message { content, tool_calls, ..Message::plain(Role::User, "") }
}

fn text(text: &str) -> Message {
    message(Content::Text(text.into()), Vec::new())
}

#[test]
fn well_known_strings_have_the_published_counts() {
    for model in ["gpt-4o", "gpt-4", "gpt-3.5-turbo", "mock"] {
        assert_eq!(count_text(model, "hello world"), 2, "{model}");
        assert_eq!(count_text(model, ""), 0);
    }
    assert_eq!(count_text("gpt-4", "tiktoken is great!"), 6);
    assert_eq!(count_text("gpt-4o", "tiktoken is great!"), 6);
    assert_eq!(count_text("gpt-4", "antidisestablishmentarianism"), 6);
    assert_eq!(count_text("gpt-4", "2 + 2 = 4"), 7);
    assert_eq!(count_text("gpt-4", "お誕生日おめでとう"), 9);
}

#[test]
fn other_vendors_are_estimated_upwards() {
    let hundred = "hello world".repeat(50);
    let exact = count_text("gpt-4o", &hundred);
    assert_eq!(count_text("claude-3-5-sonnet-20241022", &hundred), (exact * 5).div_ceil(4));
    assert_eq!(count_text("claude-sonnet-5", &hundred), (exact * 3).div_ceil(2));
    assert_eq!(count_text("gemini-2.5-pro", &hundred), (exact * 11).div_ceil(10));
    assert_eq!(count_text("claude-3-haiku", "hello world"), 3);
    assert_eq!(count_text("minimax-m2", &hundred), (exact * 11).div_ceil(10));
    assert_eq!(count_text("text-davinci-003", &hundred), (exact * 5).div_ceil(4));
    assert_eq!(count_text("llama-3.3-70b", &hundred), (exact * 5).div_ceil(4));
    assert_eq!(count_text("kimi-k2", &hundred), (exact * 27).div_ceil(20));
}

#[test]
fn every_vocabulary_is_included_or_estimated() {
    for model in MODELS {
        let Tokenizer { encoding, .. } = Tokenizer::of(model);
        assert!(vocabulary(encoding).is_some(), "{model}: {encoding}");
    }
}

#[test]
fn claude_versions_have_their_factor() {
    for old in [
        "claude-2",
        "claude-v1",
        "claude-3-opus-20240229",
        "claude-3.5-sonnet",
        "claude-sonnet-4-20250514",
        "claude-4-opus-20250918",
        "claude-opus-4-6",
        "anthropic/claude-opus-4.5",
        "claude-sonnet-4@20250514",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    ] {
        assert_eq!(Tokenizer::of(old).factor, CLAUDE, "{old}");
    }
    for new in [
        "claude-opus-4-7",
        "claude-opus-4.8",
        "claude-sonnet-5",
        "claude-haiku-5-5",
        "claude",
        "claude-latest",
    ] {
        assert_eq!(Tokenizer::of(new).factor, NEWER_CLAUDE, "{new}");
    }
}

#[test]
fn model_names_map_to_their_encoding() {
    for (model, encoding) in [
        ("openai/gpt-4o", "o200k_base"),
        ("GPT-4-turbo", "cl100k_base"),
        ("ft:gpt-4o:my-org::abc", "o200k_base"),
        ("gpt-4.1-mini", "o200k_base"),
        ("deepseek-ai/DeepSeek-V3", "deepseek_v3"),
        ("ministral-8b-latest", "mistral_v3"),
        ("something-new", FALLBACK_ENCODING),
        ("", FALLBACK_ENCODING),
        ("é/.", FALLBACK_ENCODING),
    ] {
        assert_eq!(Tokenizer::of(model).encoding, encoding, "{model}");
    }
}

/// For texts of several languages taken together. The real vocabularies are part of the tests, not of the program.
#[test]
fn models_without_their_vocabulary_are_estimated_on_the_safe_side() {
    let texts = [
        "The quick brown fox jumps over the lazy dog, and nobody is surprised any more.",
        "Jeder Mensch wird frei und mit gleichen Rechten geboren.",
        "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
        "Все люди рождаются свободными и равными в своём достоинстве и правах.",
        "人人生而自由，在尊严和权利上一律平等。",
        "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
        "fn main() { println!(\"{}\", (1..=10).map(|n| n * n).sum::<u64>()); }",
        r#"{"model":"m","messages":[{"role":"user","content":"Hello"}],"temperature":0.2}"#,
    ];
    for (vocabulary, models) in [
        (
            "llama3",
            [
                "us.meta.llama3-3-70b-instruct-v1:0",
                "meta-llama/Llama-3.1-8B",
                "@cf/meta/llama-3.1-8b-instruct",
            ],
        ),
        ("kimi_k2", ["kimi-k2", "moonshotai/Kimi-K2-Instruct", "kimi-latest"]),
    ] {
        let own = tiktoken::get_encoding(vocabulary).unwrap();
        for model in models {
            let real: usize = texts.iter().map(|text| own.count(text)).sum();
            let estimated: u64 = texts.iter().map(|text| count_text(model, text)).sum();
            assert!(estimated >= real as u64, "{model}: {estimated} for {real}");
        }
    }
}

#[test]
fn every_named_encoding_exists() {
    for model in MODELS {
        let encoding = Tokenizer::of(model).encoding;
        assert!(tiktoken::get_encoding(encoding).is_some(), "{model}: {encoding}");
    }
}

#[test]
fn special_tokens_are_text() {
    for model in MODELS {
        assert!(count_text(model, "a<|endoftext|>b<|im_start|><|fim_prefix|>") > 5, "{model}");
    }
}

#[test]
fn prompt_count_is_its_texts_and_their_overhead() {
    assert_eq!(count_prompt("gpt-4o", &[], &[]), 3);
    assert_eq!(count_prompt("gpt-4o", &[text("hello world"), text("hello world")], &[]), 2 * (2 + 3) + 3);

    let call =
        ToolCall { id: "1".into(), name: "hello world".into(), arguments: "{}".into(), signature: None };
    assert_eq!(count_prompt("gpt-4o", &[message(Content::Empty, vec![call])], &[]), 2 + 1 + 3 + 3);

    let parts = vec![
        Part::Text { text: "hello world".into(), cache_control: false },
        Part::ImageUrl { url: "https://example.com/long/name.png".into(), cache_control: false },
        Part::ImageData { data: "AAAA".repeat(1_000), mime_type: "image/png".into(), cache_control: false },
        Part::Other { kind: "input_audio".into() },
    ];
    let seen = message(Content::Parts(parts), Vec::new());
    let attached = 2 * (85 + 8 * 170) + ATTACHMENT_TOKENS;
    assert_eq!(count_prompt("gpt-4o", std::slice::from_ref(&seen), &[]), 2 + attached + 3 + 3);
    let bound = prompt_upper_bound(&Prompt { messages: &[seen], tools: &[], further: &[] });
    assert!(bound < 2 * MOST_IMAGE + ATTACHMENT_TOKENS + 100);
}

#[test]
fn counts_of_pieces_add_up() {
    let words = "Ünder the  bridge,\n\n\tthere's  a 12345 fn(x) -> y; 日本語 の 文章 🙂 🙂 съешь ещё !!! \u{a0} \u{3000} x ";
    let text = words.repeat(200);
    assert!(text.len() > 5 * PIECE);
    for model in MODELS {
        let tokenizer = Tokenizer::of(model);
        let whole = tiktoken::get_encoding(tokenizer.encoding).unwrap().count(&text) as u64;
        assert_eq!(tokenizer.count(&text), whole, "{model}");
    }
}

/// What would take hours if time grew with the square of the length.
#[test]
fn long_unbroken_texts_take_linear_time() {
    const MEGABYTE: usize = 1 << 20;
    let han: String =
        (0..MEGABYTE as u32 / 3).filter_map(|i| char::from_u32(0x4e00 + i * 7919 % 20_000)).collect();
    let texts = [
        "a".repeat(MEGABYTE),
        " ".repeat(MEGABYTE),
        "=\n".repeat(MEGABYTE / 2),
        "🙂".repeat(MEGABYTE / 4),
        han,
    ];
    for model in ["gpt-4o", "deepseek-v3"] {
        count_text(model, "the vocabulary is loaded");
        for text in &texts {
            let start = Instant::now();
            let tokens = count_text(model, text);
            assert!(tokens > 0 && tokens <= text.len() as u64);
            assert!(start.elapsed() < Duration::from_secs(20), "{model} {:?}", text.chars().next());
        }
    }
}

#[test]
fn a_prompt_is_counted_once_for_each_vocabulary() {
    let messages = [message(Content::Text("The quick brown fox, 用户, 1234567890.".into()), Vec::new())];
    let counted = Counted::default();
    for _ in 0..2 {
        for model in MODELS {
            let tokens = Tokenizer::of(model)
                .count_prompt(&Prompt { messages: &messages, tools: &[], further: &[] }, &counted);
            assert_eq!(tokens, count_prompt(model, &messages, &[]), "{model}");
        }
    }
    let mut encodings: Vec<_> = MODELS.iter().map(|model| Tokenizer::of(model).encoding).collect();
    encodings.sort_unstable();
    encodings.dedup();
    assert_eq!(counted.0.into_inner().unwrap().len(), encodings.len());
}

fn any_message() -> impl Strategy<Value = Message> {
    let text = prop_oneof![".{0,80}", "[\\PC\\s]{0,40}", any::<String>(), "(<\\|[a-z_]{1,12}\\|>){0,4}"];
    let part = prop_oneof![
        text.clone().prop_map(|text| Part::Text { text, cache_control: false }),
        text.clone().prop_map(|url| Part::ImageUrl { url, cache_control: false }),
        text.clone().prop_map(|kind| Part::Other { kind }),
    ];
    let content = prop_oneof![
        text.clone().prop_map(Content::Text),
        prop::collection::vec(part, 0..4).prop_map(Content::Parts),
        Just(Content::Empty),
    ];
    let call = (text.clone(), text).prop_map(|(name, arguments)| ToolCall {
        name,
        arguments,
        ..ToolCall::default()
    });
    (content, prop::collection::vec(call, 0..3)).prop_map(|(content, calls)| message(content, calls))
}

/// A message as the caller wrote it, with `fields` beside its role.
fn written(content: Content, fields: serde_json::Value) -> Message {
    Message { source: fields.as_object().cloned(), ..message(content, Vec::new()) }
}

#[test]
fn all_that_is_sent_of_a_message_counts() {
    let words = "word ".repeat(1_000);
    let file = |mime: &str, bytes: &[u8]| {
        let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
        let part = Part::File { data, mime_type: mime.into(), name: None, cache_control: false };
        message(Content::Parts(vec![part]), Vec::new())
    };
    let refusal = Content::Parts(vec![Part::Other { kind: "refusal".into() }]);
    for (what, sent) in [
        ("name", written(Content::Empty, serde_json::json!({ "content": "x", "name": words }))),
        ("refusal", written(Content::Empty, serde_json::json!({ "content": null, "refusal": words }))),
        ("reasoning", written(Content::Empty, serde_json::json!({ "reasoning_content": words }))),
        (
            "function_call",
            written(Content::Empty, serde_json::json!({ "function_call": { "arguments": words } })),
        ),
        (
            "custom call",
            written(Content::Empty, serde_json::json!({ "tool_calls": [{ "custom": { "input": words } }] })),
        ),
        (
            "refusal part",
            written(refusal, serde_json::json!({ "content": [{ "type": "refusal", "refusal": words }] })),
        ),
        ("blocks", Message { reasoning_details: vec![serde_json::json!({ "thinking": words })], ..text("") }),
        ("text file", file("text/plain", words.as_bytes())),
        ("JSON file", file("application/json", words.as_bytes())),
        ("a file of unknown form", file("application/msword", words.as_bytes())),
        ("PDF", file("application/pdf", b"/Type /Pages /Type /Page /Type/Page")),
        (
            "sound",
            message(
                Content::Parts(vec![Part::Audio {
                    data: "AAAA".repeat(30_000),
                    mime_type: "audio/mpeg".into(),
                }]),
                Vec::new(),
            ),
        ),
    ] {
        let messages = [sent];
        let bound = prompt_upper_bound(&Prompt { messages: &messages, tools: &[], further: &[] });
        for model in MODELS {
            let counted = count_prompt(model, &messages, &[]);
            assert!((1_000..=bound).contains(&counted), "{what} on {model}: {counted} of {bound}");
        }
    }
    let further = [words];
    let prompt = Prompt { messages: &[], tools: &[], further: &further };
    assert!(Tokenizer::of("gpt-4o").count_prompt(&prompt, &Counted::default()) > 1_000);
}

#[test]
fn images_cost_what_their_vendor_documents() {
    for (model, tokens) in [
        ("gpt-4o-mini", 48_169),
        ("gpt-4o", 1_445),
        ("claude-3-haiku", 1_600),
        ("claude-opus-4-7", 4_784),
        ("somebody's", 2_000),
    ] {
        assert_eq!(Tokenizer::of(model).image, tokens, "{model}");
        assert!(tokens <= MOST_IMAGE);
    }
}

proptest! {
    #[test]
    fn the_upper_bound_is_one(messages in prop::collection::vec(any_message(), 0..4)) {
        let bound = prompt_upper_bound(&Prompt { messages: &messages, tools: &[], further: &[] });
        for model in MODELS {
            prop_assert!(count_prompt(model, &messages, &[]) <= bound, "{}", model);
        }
    }
}
