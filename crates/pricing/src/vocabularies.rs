//! The vocabularies that are part of the program, loaded on first use: those whose licence asks for its notice and for no
//! more (MIT, Apache 2.0; `THIRD-PARTY-NOTICES.txt` holds them). DeepSeek's is the one of V3, which V3-0324 and
//! V4 give out under MIT.
//!
//! Left out are Llama's (its licence asks every product that has it to show "Built with Meta Llama 3") and Kimi's (the same
//! of products of a certain size: those who build on this library would owe it without knowing). Those of OpenAI's oldest
//! models and of MiniMax are left out for their size: together they would make a tenth of the addon.

use std::sync::OnceLock;

use tiktoken::{CoreBpe, encoding};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

macro_rules! vocabularies {
    ($($name:ident)*) => {
        /// By name, in the order of [`NAMES`].
        static LOADED: [OnceLock<CoreBpe>; NAMES.len()] = [const { OnceLock::new() }; NAMES.len()];
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        const LOADERS: &[fn() -> CoreBpe] = &[$(encoding::$name),*];
    };
}

vocabularies!(
    cl100k_base o200k_base o200k_harmony deepseek_v3 deepseek_v4 qwen2 mistral_v3 glm4 glm5
);

/// Where a vocabulary is kept, and what loads it.
struct Slot {
    loaded: &'static OnceLock<CoreBpe>,
    load: fn() -> CoreBpe,
}

fn slot(name: &str) -> Option<Slot> {
    let index = NAMES.iter().position(|known| *known == name)?;
    Some(Slot { loaded: LOADED.get(index)?, load: *LOADERS.get(index)? })
}

/// Whether [`vocabulary`] has nothing to load.
pub(super) fn is_loaded(name: &str) -> bool {
    slot(name).is_none_or(|slot| slot.loaded.get().is_some())
}

/// A vocabulary by its name in the `tiktoken` crate; `None`: it is left out.
pub(super) fn vocabulary(name: &str) -> Option<&'static CoreBpe> {
    let Slot { loaded, load } = slot(name)?;
    Some(loaded.get().unwrap_or_else(|| beside_other_tasks(|| loaded.get_or_init(load))))
}

/// Loading takes a while: what else waits for this thread, a worker of a runtime, goes on at another one.
fn beside_other_tasks<T>(work: impl FnOnce() -> T) -> T {
    let is_worker =
        Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if is_worker { block_in_place(work) } else { work() }
}
