//! Vectors, and the list of models.

use bytes::Bytes;

use super::HttpProvider;
use super::send::PlainRequest;
use crate::settings::shown_user;
use crate::wire::check_path_name;
use gateway_model::error::{Failure, GatewayError};
use gateway_model::provider::{SentMark, deadline_after};
use gateway_model::{EmbedCall, Feature, TokenUsage, Vectors};

impl HttpProvider {
    /// Asks for the vectors of texts that fit into one request.
    pub(crate) async fn fetch_vectors(&self, call: &EmbedCall) -> Result<Vectors, Failure> {
        let format =
            self.wire.embeddings().ok_or_else(|| Feature::Embeddings.refused_by(&self.context.name))?;
        let shown = call.user_id.as_deref().and_then(|user| shown_user(user, self.context.send_user_id));
        let mut body = format.body(call, shown.as_deref(), &call.inputs);
        body.extend(self.own_options(call.provider_options.as_ref()).cloned().unwrap_or_default());
        let body = serde_json::to_vec(&body).map_err(GatewayError::unwritable)?.into();
        check_path_name(&call.model)?;
        let endpoint = &self.below_base(&format.path(&call.model))?;
        let deadline = deadline_after(call.timeout.or(Some(self.context.timeout)), call.deadline);
        let request = PlainRequest { endpoint, model: &call.model, body, deadline, sent: &call.sent };
        let mut answer = self.fetch(request, |body| format.vectors(body)).await?;
        if answer.vectors.len() != call.inputs.len() {
            let (given, asked) = (answer.vectors.len(), call.inputs.len());
            let problem = format!("the answer has {given} vectors for {asked} texts");
            let usage = answer.input_tokens.map(|tokens| TokenUsage::new(tokens, 0));
            // Only what came with a success's status was read.
            return Err(self.context.unacceptable(200, problem.into()).with_usage(usage).into());
        }
        if answer.model.is_empty() {
            answer.model.clone_from(&call.model);
        }
        Ok(answer)
    }

    /// How many texts one request may hold.
    pub(crate) fn max_texts(&self) -> usize {
        self.wire.embeddings().map_or(usize::MAX, |format| format.max_inputs().max(1))
    }

    /// Asks for the ids of the models that the service has now; `None`: it does not tell.
    pub(crate) async fn fetch_models(&self) -> Result<Option<Vec<String>>, Failure> {
        let Some(path) = self.wire.models_path() else { return Ok(None) };
        let endpoint = &self.below_base(&path)?.read();
        let deadline = deadline_after(Some(self.context.timeout), None);
        let request =
            PlainRequest { endpoint, model: "", body: Bytes::new(), deadline, sent: &SentMark::default() };
        self.fetch(request, |body| self.wire.models(body)).await.map(Some)
    }
}
