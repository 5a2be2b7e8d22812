//! Servers that one runs oneself, where they listen when nothing else is said. They serve whatever models one has given
//! them, and need no key (`auth.type: "none"`).

use super::{Dialect, Service, row};

const fn server(family: &'static str, title: &'static str, base_url: &'static str) -> Service {
    row(family, title, base_url, "", &[])
}

/// In the order of their families' names.
pub static SERVICES: &[Service] = &[
    server("docker-model-runner", "Docker Model Runner", "http://127.0.0.1:12434/engines/v1")
        .speaks(Dialect::LLAMA_CPP)
        .embeds(32),
    server("gpt4all", "GPT4All", "http://127.0.0.1:4891/v1"),
    server("jan", "Jan", "http://127.0.0.1:1337/v1").speaks(Dialect::LLAMA_CPP),
    server("koboldcpp", "KoboldCpp", "http://127.0.0.1:5001/v1").takes_top_k(),
    server("llamacpp", "llama.cpp (llama-server)", "http://127.0.0.1:8080/v1")
        .speaks(Dialect::LLAMA_CPP)
        .embeds(32),
    server("llamafile", "llamafile", "http://127.0.0.1:8080/v1").speaks(Dialect::LLAMA_CPP),
    server("lmstudio", "LM Studio", "http://127.0.0.1:1234/v1").speaks(Dialect::LM_STUDIO).embeds(32),
    server("localai", "LocalAI", "http://127.0.0.1:8080/v1").takes_top_k().embeds(32),
    server("ollama", "Ollama", "http://127.0.0.1:11434/v1").speaks(Dialect::OLLAMA).embeds(32),
    server("sglang", "SGLang", "http://127.0.0.1:30000/v1").takes_top_k().embeds(32),
    server("tgi", "Text Generation Inference", "http://127.0.0.1:3000/v1"),
    server("vllm", "vLLM", "http://127.0.0.1:8000/v1").takes_top_k().embeds(32),
    server("xinference", "Xinference", "http://127.0.0.1:9997/v1").embeds(32),
];
