//! Documents in the form of services that speak OpenAI's format.

use std::borrow::Cow;

use gateway_model::request::file_name;
use gateway_model::{Content, Message, Part};
use serde_json::{Value, json};

use super::results::text_part;
use crate::documents::text_of;

/// How a service takes documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentForm {
    /// Its format writes them by itself.
    Own,
    /// OpenAI's `file`: data with a name. Text goes as text, as it takes PDFs.
    File,
    /// Mistral's `document_url`.
    DocumentUrl,
    /// Perplexity's `file_url`, base64 without a prefix.
    FileUrl,
}

/// Writes the documents as the service takes them.
pub fn fit_documents(messages: &[Message], form: DocumentForm) -> Cow<'_, [Message]> {
    let is_document = |part: &Part| matches!(part, Part::File { .. });
    let has_documents = |message: &Message| matches!(&message.content, Content::Parts(parts) if parts.iter().any(is_document));
    if form == DocumentForm::Own || !messages.iter().any(has_documents) {
        return Cow::Borrowed(messages);
    }
    let mut fitted = Cow::Borrowed(messages);
    for (at, message) in messages.iter().enumerate() {
        let (Content::Parts(parts), Some(source)) = (&message.content, &message.source) else { continue };
        let written = source.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let changed = parts
            .iter()
            .zip(written)
            .enumerate()
            .filter_map(|(place, (part, written))| Some((place, document(part, written, form)?)));
        for (place, document) in changed {
            let message = fitted.to_mut().get_mut(at);
            let source = message.and_then(|message| message.source.as_mut());
            if let Some(written) = source.and_then(|source| source.get_mut("content")?.get_mut(place)) {
                *written = document;
            }
        }
    }
    fitted
}

/// The document in the service's form; `None`: it is in it already.
fn document(part: &Part, written: &Value, form: DocumentForm) -> Option<Value> {
    let Part::File { data, mime_type, name, .. } = part else { return None };
    // What was written for OpenAI is as its writer wants it.
    let is_openais = written["file"].is_object();
    if !is_openais && let Some(text) = text_of(data, mime_type) {
        let name = name.as_deref().unwrap_or("document");
        return Some(text_part(&format!("<document name={name:?}>\n{text}\n</document>")));
    }
    let url = || format!("data:{mime_type};base64,{data}");
    match form {
        DocumentForm::Own => None,
        DocumentForm::File if is_openais && name.is_none() => {
            let mut document = written.clone();
            document["file"]["filename"] = json!(file_name(&url()));
            Some(document)
        }
        // It is named where it is written.
        DocumentForm::File => None,
        DocumentForm::DocumentUrl => {
            let mut document = json!({ "type": "document_url", "document_url": url() });
            if let Some(name) = name {
                document["document_name"] = json!(name);
            }
            Some(document)
        }
        DocumentForm::FileUrl => {
            let name = name.clone().unwrap_or_else(|| file_name(&url()));
            Some(json!({ "type": "file_url", "file_url": { "url": data }, "file_name": name }))
        }
    }
}
