//! Services of the world, and gateways to many.

use super::{Dialect, KeyHeader, Service, row};
use crate::azure;

/// In the order of their families' names.
pub static SERVICES: &[Service] = &[
    row(
        "ai21",
        "AI21 Labs",
        "https://api.ai21.com/studio/v1",
        "AI21_API_KEY",
        &["jamba-large", "jamba-mini"],
    ),
    row("aihubmix", "AIHubMix", "https://aihubmix.com/v1", "AIHUBMIX_API_KEY", &["gpt-5.4-mini"]).embeds(32),
    row("aimlapi", "AI/ML API", "https://api.aimlapi.com/v1", "AIMLAPI_API_KEY", &["deepseek/deepseek-chat"])
        .embeds(32),
    row("azure", "Azure OpenAI", "", "AZURE_OPENAI_API_KEY", &[])
        .speaks(Dialect::AZURE)
        .keyed(KeyHeader::Named("api-key"))
        .addressed(azure::addressed, &["api", "apiVersion", "deployment", "resource"])
        .names_users_in_responses("safety_identifier"),
    row(
        "baseten",
        "Baseten",
        "https://inference.baseten.co/v1",
        "BASETEN_API_KEY",
        &["openai/gpt-oss-120b", "deepseek-ai/DeepSeek-V4.1-Flash"],
    ),
    row(
        "cerebras",
        "Cerebras",
        "https://api.cerebras.ai/v1",
        "CEREBRAS_API_KEY",
        &["gpt-oss-120b", "qwen-3.8-27b"],
    )
    .speaks(Dialect::CEREBRAS),
    row("chutes", "Chutes", "https://llm.chutes.ai/v1", "CHUTES_API_KEY", &["openai/gpt-oss-120b-TEE"]),
    row(
        "cohere",
        "Cohere",
        "https://api.cohere.ai/compatibility/v1",
        "COHERE_API_KEY",
        &["command-a-03-2025", "command-r7b-12-2024"],
    )
    .speaks(Dialect::COHERE)
    .embeds(96),
    row("databricks", "Databricks", "", "DATABRICKS_TOKEN", &[]).embeds(32),
    row(
        "deepinfra",
        "DeepInfra",
        "https://api.deepinfra.com/v1/openai",
        "DEEPINFRA_API_KEY",
        &["meta-llama/Llama-3.3-70B-Instruct-Turbo", "deepseek-ai/DeepSeek-V4-Flash"],
    )
    .takes_top_k()
    .embeds(1024),
    row(
        "digitalocean",
        "DigitalOcean Gradient",
        "https://inference.do-ai.run/v1",
        "DIGITALOCEAN_ACCESS_TOKEN",
        &["openai-gpt-oss-120b"],
    ),
    row(
        "featherless",
        "Featherless",
        "https://api.featherless.ai/v1",
        "FEATHERLESS_API_KEY",
        &["Qwen/Qwen3-32B"],
    ),
    row(
        "fireworks",
        "Fireworks AI",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        &["accounts/fireworks/models/gpt-oss-120b", "accounts/fireworks/models/deepseek-v4-flash"],
    )
    .takes_top_k()
    .embeds(32),
    row(
        "friendli",
        "Friendli",
        "https://api.friendli.ai/serverless/v1",
        "FRIENDLI_TOKEN",
        &["zai-org/GLM-5.3-Flash"],
    ),
    row(
        "github-models",
        "GitHub Models",
        "https://models.github.ai/inference",
        "GITHUB_TOKEN",
        &["openai/gpt-4.1"],
    )
    .speaks(Dialect { models_path: "", ..Dialect::COMPATIBLE })
    .embeds(32),
    row(
        "groq",
        "Groq",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        &["openai/gpt-oss-120b", "openai/gpt-oss-20b", "llama-3.1-8b-instant"],
    )
    .speaks(Dialect::GROQ),
    row(
        "helicone",
        "Helicone AI Gateway",
        "https://ai-gateway.helicone.ai/v1",
        "HELICONE_API_KEY",
        &["gpt-4o-mini"],
    ),
    row(
        "huggingface",
        "Hugging Face Inference Providers",
        "https://router.huggingface.co/v1",
        "HF_TOKEN",
        &["openai/gpt-oss-120b"],
    ),
    row(
        "hyperbolic",
        "Hyperbolic",
        "https://api.hyperbolic.xyz/v1",
        "HYPERBOLIC_API_KEY",
        &["meta-llama/Llama-3.3-70B-Instruct"],
    ),
    row("inception", "Inception", "https://api.inceptionlabs.ai/v1", "INCEPTION_API_KEY", &["mercury-2"]),
    row(
        "inference-net",
        "Inference.net",
        "https://api.inference.net/v1",
        "INFERENCE_API_KEY",
        &["meta/llama-3.1-8b-instruct"],
    ),
    row("litellm", "LiteLLM Proxy", "http://127.0.0.1:4000/v1", "LITELLM_API_KEY", &[]).embeds(32),
    row(
        "llmgateway",
        "LLM Gateway",
        "https://api.llmgateway.io/v1",
        "LLM_GATEWAY_API_KEY",
        &["deepseek-v4-flash"],
    )
    .embeds(32),
    row(
        "mistral",
        "Mistral AI",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        &["mistral-small-latest", "mistral-medium-latest"],
    )
    .speaks(Dialect::MISTRAL)
    .embeds(32),
    row(
        "morph",
        "Morph",
        "https://api.morphllm.com/v1",
        "MORPH_API_KEY",
        &["morph-v3-fast", "morph-v3-large"],
    ),
    row(
        "nebius",
        "Nebius Token Factory",
        "https://api.tokenfactory.nebius.com/v1",
        "NEBIUS_API_KEY",
        &["openai/gpt-oss-120b", "meta-llama/Llama-3.3-70B-Instruct"],
    )
    .embeds(32),
    row(
        "novita",
        "Novita AI",
        "https://api.novita.ai/openai/v1",
        "NOVITA_API_KEY",
        &["openai/gpt-oss-120b", "deepseek/deepseek-v4.1-flash"],
    )
    .takes_top_k(),
    row(
        "nscale",
        "Nscale",
        "https://inference.api.nscale.com/v1",
        "NSCALE_API_KEY",
        &["meta-llama/Llama-3.1-8B-Instruct"],
    ),
    row(
        "nvidia",
        "NVIDIA NIM",
        "https://integrate.api.nvidia.com/v1",
        "NVIDIA_API_KEY",
        &["nvidia/nemotron-3-super-120b-a12b"],
    )
    .speaks(Dialect::NVIDIA),
    row("ollama-cloud", "Ollama Cloud", "https://ollama.com/v1", "OLLAMA_API_KEY", &["gpt-oss:120b"])
        .speaks(Dialect::OLLAMA),
    row("openai", "OpenAI", "https://api.openai.com/v1", "OPENAI_API_KEY", &["gpt-4o-mini"])
        .speaks(Dialect::OPENAI)
        .waits(30_000)
        .names_users_in_responses("safety_identifier")
        .states_all(),
    row(
        "openrouter",
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        &["openrouter/auto"],
    )
    .speaks(Dialect::OPENROUTER)
    .states_all(),
    row(
        "ovhcloud",
        "OVHcloud AI Endpoints",
        "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
        "OVHCLOUD_API_KEY",
        &["gpt-oss-120b", "Meta-Llama-3_3-70B-Instruct"],
    )
    .embeds(32),
    row(
        "parasail",
        "Parasail",
        "https://api.parasail.io/v1",
        "PARASAIL_API_KEY",
        &["parasail-llama-33-70b-fp8"],
    ),
    row(
        "perplexity",
        "Perplexity",
        "https://api.perplexity.ai",
        "PERPLEXITY_API_KEY",
        &["sonar", "sonar-pro"],
    )
    .speaks(Dialect::PERPLEXITY),
    row("poe", "Poe", "https://api.poe.com/v1", "POE_API_KEY", &["GPT-5-mini"]),
    row("portkey", "Portkey", "https://api.portkey.ai/v1", "PORTKEY_API_KEY", &[])
        .keyed(KeyHeader::Named("x-portkey-api-key")),
    row("reka", "Reka", "https://api.reka.ai/v1", "REKA_API_KEY", &["reka-flash"]),
    row("requesty", "Requesty", "https://router.requesty.ai/v1", "REQUESTY_API_KEY", &["openai/gpt-4o-mini"]),
    row(
        "sambanova",
        "SambaNova",
        "https://api.sambanova.ai/v1",
        "SAMBANOVA_API_KEY",
        &["gpt-oss-120b", "Meta-Llama-3.3-70B-Instruct"],
    )
    .takes_top_k(),
    row(
        "scaleway",
        "Scaleway Generative APIs",
        "https://api.scaleway.ai/v1",
        "SCW_SECRET_KEY",
        &["gpt-oss-120b", "mistral-small-3.2-24b-instruct-2506"],
    )
    .embeds(32),
    row("snowflake", "Snowflake Cortex", "", "SNOWFLAKE_PAT", &[]),
    row(
        "synthetic",
        "Synthetic",
        "https://api.synthetic.new/openai/v1",
        "SYNTHETIC_API_KEY",
        &["hf:openai/gpt-oss-120b"],
    ),
    row(
        "together",
        "Together AI",
        "https://api.together.ai/v1",
        "TOGETHER_API_KEY",
        &["openai/gpt-oss-120b", "meta-llama/Llama-3.3-70B-Instruct-Turbo"],
    )
    .takes_top_k()
    .embeds(32),
    row("upstage", "Upstage", "https://api.upstage.ai/v1", "UPSTAGE_API_KEY", &["solar-pro3", "solar-pro2"])
        .embeds(32),
    row("venice", "Venice AI", "https://api.venice.ai/api/v1", "VENICE_API_KEY", &["llama-3.3-70b"]),
    row(
        "vercel",
        "Vercel AI Gateway",
        "https://ai-gateway.vercel.sh/v1",
        "AI_GATEWAY_API_KEY",
        &["openai/gpt-5.4-mini"],
    )
    .embeds(32),
    row(
        "wandb",
        "W&B Inference",
        "https://api.inference.wandb.ai/v1",
        "WANDB_API_KEY",
        &["openai/gpt-oss-120b"],
    ),
    row("xai", "xAI", "https://api.x.ai/v1", "XAI_API_KEY", &["grok-4.5", "grok-4.7"]).speaks(Dialect::XAI),
];
