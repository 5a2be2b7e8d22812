//! Services of makers in China; some have a second place, with keys of its own, for the rest of the world.

use super::{Dialect, Service, row};

/// In the order of their families' names.
pub static SERVICES: &[Service] = &[
    row(
        "baichuan",
        "Baichuan",
        "https://api.baichuan-ai.com/v1",
        "BAICHUAN_API_KEY",
        &["Baichuan4-Turbo", "Baichuan4-Air"],
    )
    .embeds(16),
    row(
        "baidu-qianfan",
        "Baidu Qianfan",
        "https://qianfan.baidubce.com/v2",
        "QIANFAN_API_KEY",
        &["ernie-5.1", "ernie-4.5-turbo-128k"],
    )
    .embeds(16),
    row(
        "deepseek",
        "DeepSeek",
        "https://api.deepseek.com/v1",
        "DEEPSEEK_API_KEY",
        &["deepseek-v4-flash", "deepseek-v4-pro"],
    )
    .speaks(Dialect::DEEPSEEK),
    row(
        "hunyuan",
        "Tencent Hunyuan",
        "https://api.hunyuan.cloud.tencent.com/v1",
        "HUNYUAN_API_KEY",
        &["hunyuan-turbos-latest"],
    ),
    row(
        "minimax",
        "MiniMax",
        "https://api.minimaxi.com/v1",
        "MINIMAX_API_KEY",
        &["MiniMax-M3", "MiniMax-M2.7"],
    )
    .speaks(Dialect::MINIMAX),
    row(
        "minimax-intl",
        "MiniMax, international",
        "https://api.minimax.io/v1",
        "MINIMAX_API_KEY",
        &["MiniMax-M3", "MiniMax-M2.7"],
    )
    .speaks(Dialect::MINIMAX),
    row(
        "modelscope",
        "ModelScope",
        "https://api-inference.modelscope.cn/v1",
        "MODELSCOPE_API_KEY",
        &["Qwen/Qwen3-235B-A22B"],
    ),
    row(
        "moonshot",
        "Moonshot AI (Kimi)",
        "https://api.moonshot.cn/v1",
        "MOONSHOT_API_KEY",
        &["kimi-k3", "kimi-k2.6"],
    )
    .speaks(Dialect::MOONSHOT),
    row(
        "moonshot-intl",
        "Moonshot AI (Kimi), international",
        "https://api.moonshot.ai/v1",
        "MOONSHOT_API_KEY",
        &["kimi-k3", "kimi-k2.6"],
    )
    .speaks(Dialect::MOONSHOT),
    row(
        "qwen",
        "Alibaba Cloud Model Studio (Qwen)",
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        "DASHSCOPE_API_KEY",
        &["qwen3.8-flash", "qwen3.7-max"],
    )
    .takes_top_k()
    .embeds(10),
    row(
        "qwen-intl",
        "Alibaba Cloud Model Studio (Qwen), international",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "DASHSCOPE_API_KEY",
        &["qwen3.8-flash", "qwen3.7-max"],
    )
    .takes_top_k()
    .embeds(10),
    row(
        "siliconflow",
        "SiliconFlow",
        "https://api.siliconflow.cn/v1",
        "SILICONFLOW_API_KEY",
        &["deepseek-ai/DeepSeek-V4-Flash", "Qwen/Qwen3-8B"],
    )
    .speaks(Dialect::HOSTING_REASONERS)
    .takes_top_k()
    .embeds(32),
    row(
        "siliconflow-intl",
        "SiliconFlow, international",
        "https://api.siliconflow.com/v1",
        "SILICONFLOW_API_KEY",
        &["deepseek-ai/DeepSeek-V4-Flash"],
    )
    .speaks(Dialect::HOSTING_REASONERS)
    .takes_top_k()
    .embeds(32),
    row(
        "spark",
        "iFlytek Spark",
        "https://spark-api-open.xf-yun.com/v1",
        "SPARK_API_KEY",
        &["4.0Ultra", "generalv3.5"],
    ),
    row(
        "stepfun",
        "StepFun",
        "https://api.stepfun.com/v1",
        "STEPFUN_API_KEY",
        &["step-3.7-flash", "step-3.5-flash"],
    ),
    row(
        "stepfun-intl",
        "StepFun, international",
        "https://api.stepfun.ai/v1",
        "STEPFUN_API_KEY",
        &["step-3.7-flash", "step-3.5-flash"],
    ),
    row(
        "volcengine",
        "Volcengine Ark (Doubao)",
        "https://ark.cn-beijing.volces.com/api/v3",
        "ARK_API_KEY",
        &["doubao-seed-2-1-turbo-260628", "doubao-seed-2-0-lite-260428"],
    )
    .speaks(Dialect::HOSTING_REASONERS)
    .embeds(256),
    row(
        "xiaomi",
        "Xiaomi MiMo",
        "https://api.xiaomimimo.com/v1",
        "XIAOMI_API_KEY",
        &["mimo-v2.6-flash", "mimo-v2.6-pro"],
    )
    .speaks(Dialect::XIAOMI),
    row("yi", "01.AI (Yi)", "https://api.lingyiwanwu.com/v1", "YI_API_KEY", &["yi-lightning"]),
    row("zai", "Z.AI", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY", &["glm-5.3-flash", "glm-5.3"])
        .speaks(Dialect::ZHIPU),
    row(
        "zhipu",
        "Zhipu AI",
        "https://open.bigmodel.cn/api/paas/v4",
        "ZHIPU_API_KEY",
        &["glm-5.3-flash", "glm-5.3"],
    )
    .speaks(Dialect::ZHIPU)
    .embeds(64),
];
