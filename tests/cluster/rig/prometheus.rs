//! Questions to a Prometheus.

use color_eyre::eyre::{Result, bail};
use serde_json::Value;

/// Result vector of an instant query.
pub async fn query(address: &str, promql: &str) -> Result<Vec<Value>> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = reqwest::Url::parse_with_params(&format!("{address}/api/v1/query"), [("query", promql)])?;
    let answer: Value = http.get(url).send().await?.json().await?;
    match answer["data"]["result"].as_array() {
        Some(result) => Ok(result.clone()),
        None => bail!("{promql}: {answer}"),
    }
}
