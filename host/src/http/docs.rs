//! `/docs`: the OpenAPI document and the problem codes as one page, and `/` that points there.
//!
//! Owns the page. It is made from the same data as `/openapi.json`, loads nothing from elsewhere
//! and runs no script.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::App;
use super::openapi;
use super::respond::json as json_answer;
use crate::problem::CODES;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;\
padding:0 1rem;color:#1a1a1a;background:#fff}code,pre{font:14px/1.4 ui-monospace,monospace}\
code{background:#f2f2f2;padding:0 .2em}h2{margin-top:2.5rem}details{border-top:1px solid #ddd;\
padding:.4rem 0}summary{cursor:pointer}.m{display:inline-block;width:4.5rem;font-weight:600}\
pre{background:#f7f7f7;padding:.8rem;overflow:auto}td{padding:.15rem .8rem .15rem 0;\
vertical-align:top}@media(prefers-color-scheme:dark){body{color:#ddd;background:#151515}\
code,pre{background:#262626}details{border-color:#333}a{color:#8ab4f8}}";

/// `GET /`.
pub(super) async fn index(State(app): State<Arc<App>>) -> Response {
    let service = |service: &Arc<crate::gate::Service>| {
        json!({
            "name": *service.name,
            "title": service.title,
            "version": service.version,
            "pipelines": service.pipelines,
        })
    };
    let services: Vec<Value> = app.gate.services().iter().map(service).collect();
    let body = json!({
        "name": "postern",
        "version": env!("CARGO_PKG_VERSION"),
        "services": services,
        "docs": "/docs",
        "openapi": "/openapi.json",
    });
    json_answer(StatusCode::OK, &body)
}

/// `GET /docs`.
pub(super) async fn page(State(app): State<Arc<App>>) -> Response {
    let mut response = Html(render(&openapi::document(&app.gate))).into_response();
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn render(document: &Value) -> String {
    let mut page = String::new();
    let version = document["info"]["version"].as_str().unwrap_or("");
    let about = document["info"]["description"].as_str().unwrap_or("");
    let _ = write!(
        page,
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content='width=device-width'><title>Postern API</title>\
         <style>{STYLE}</style><h1>Postern API {}</h1><p>{}</p>\
         <p>Machine-readable: <a href=/openapi.json>/openapi.json</a></p><h2>Routes</h2>",
        escape(version),
        escape(about)
    );
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            route(&mut page, path, method, operation);
        }
    }
    page += "<h2>Problem codes of the host</h2><p>Services and policy components have codes of \
             their own; each answer says what to do in <code>detail</code>.</p><table>";
    for code in CODES {
        let _ = write!(
            page,
            "<tr id={0}><td><code>{0}</code><td>{1}<td>{2}",
            code.name,
            code.status,
            escape(code.title)
        );
    }
    page + "</table>"
}

fn route(page: &mut String, path: &str, method: &str, operation: &Value) {
    let summary = operation["summary"].as_str().unwrap_or("");
    let _ = write!(
        page,
        "<details><summary><span class=m>{}</span><code>{}</code> {}</summary>",
        escape(&method.to_uppercase()),
        escape(path),
        escape(summary)
    );
    if let Some(text) = operation["description"].as_str() {
        let _ = write!(page, "<p>{}</p>", escape(text));
    }
    for part in ["parameters", "requestBody", "responses"] {
        if !operation[part].is_null() {
            let text = serde_json::to_string_pretty(&operation[part]).unwrap_or_default();
            let _ = write!(page, "<p>{part}</p><pre>{}</pre>", escape(&text));
        }
    }
    *page += "</details>";
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_services_text_cannot_become_markup() {
        let page = render(&json!({
            "info": {},
            "paths": {"/<b>": {"get": {"summary": "<script>alert(1)</script>"}}},
        }));
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"), "{page}");
    }
}
