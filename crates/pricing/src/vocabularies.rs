//! The vocabularies that are part of the program, loaded when first needed. Those of OpenAI's oldest models and of MiniMax
//! are left out: together they would make a tenth of the addon.

use std::sync::OnceLock;

use tiktoken::{CoreBpe, encoding};

/// A vocabulary by its name in the `tiktoken` crate; `None`: it is left out.
pub(super) fn vocabulary(name: &str) -> Option<&'static CoreBpe> {
    macro_rules! loaded {
        ($($name:ident)*) => {
            match name {
                $(stringify!($name) => {
                    static LOADED: OnceLock<CoreBpe> = OnceLock::new();
                    Some(LOADED.get_or_init(encoding::$name))
                })*
                _ => None,
            }
        };
    }
    loaded!(
        cl100k_base o200k_base o200k_harmony llama3 deepseek_v3 deepseek_v4 qwen2 mistral_v3 kimi_k2 kimi_k3 glm4 glm5
    )
}
