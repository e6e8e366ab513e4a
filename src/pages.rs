//! The pages for people: `/` shows shops and the live feed, `/docs` the API. One file each, and no network but our own.
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Router,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

/// A shop that the page shows without asking for its token.
#[derive(Serialize)]
pub(crate) struct ShownShop {
    /// The shop's myshopify.com domain.
    pub(crate) shop_domain: String,
    /// Bearer token of its merchant.
    pub(crate) token: String,
}

/// The demo shops, asked at every request. There are none to show outside of development.
pub(crate) type DemoShops = Arc<dyn Fn() -> Vec<ShownShop> + Send + Sync>;

/// Both pages. Without `demo` the page at `/` asks for a token.
pub(crate) fn router(demo: Option<DemoShops>) -> Router {
    let home = Arc::new(Page::new(include_str!("pages/home.html")));
    let docs = Page::new(include_str!("pages/docs.html"));
    let home = move |headers: HeaderMap| {
        let shops = demo.as_ref().filter(|_| asked_here(&headers)).map(|shops| shops()).unwrap_or_default();
        std::future::ready(home.with_shops(&shops))
    };
    let docs = docs.answer(docs.html.to_owned());
    Router::new()
        .route("/", get(home))
        .route("/docs", get(move || std::future::ready(docs.clone().into_response())))
}

/// Whether the browser believes to talk to its own machine: a foreign name that leads here must not get at a token.
fn asked_here(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// A page and what its browser may do: run this script, use this style, ask this server.
struct Page {
    html: &'static str,
    policy: HeaderValue,
}

/// Where the page finds its shops.
const SHOPS: &str = r#"<script type="application/json" id="shops">[]</script>"#;

type Answer = ([(HeaderName, HeaderValue); 5], String);

impl Page {
    fn new(html: &'static str) -> Self {
        let (script, style) = (hash(html, "<script>", "</script>"), hash(html, "<style>", "</style>"));
        let policy = format!(
            "default-src 'none'; connect-src 'self'; img-src data:; script-src '{script}'; style-src '{style}'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        let policy =
            HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"));
        Self { html, policy }
    }

    fn with_shops(&self, shops: &[ShownShop]) -> Response {
        // In a script element only `<` could end the JSON.
        let json = serde_json::to_string(shops).unwrap_or_else(|_| "[]".to_owned()).replace('<', "\\u003c");
        let html = self.html.replace(SHOPS, &SHOPS.replace("[]", &json));
        self.answer(html).into_response()
    }

    fn answer(&self, html: String) -> Answer {
        let text = HeaderValue::from_static;
        let headers = [
            (header::CONTENT_TYPE, text("text/html; charset=utf-8")),
            (header::CONTENT_SECURITY_POLICY, self.policy.clone()),
            (header::CACHE_CONTROL, text("no-store")),
            (header::REFERRER_POLICY, text("no-referrer")),
            (header::X_CONTENT_TYPE_OPTIONS, text("nosniff")),
        ];
        (headers, html)
    }
}

/// The hash by which a policy allows the page's own element.
fn hash(html: &str, open: &str, close: &str) -> String {
    let content =
        html.split_once(open).and_then(|(_, rest)| rest.split_once(close)).map_or("", |(own, _)| own);
    format!("sha256-{}", STANDARD.encode(digest(&SHA256, content.as_bytes())))
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        http::Request,
    };
    use tower::ServiceExt as _;

    use super::*;

    async fn page(demo: Option<DemoShops>, host: &str, path: &str) -> (HeaderMap, String) {
        let request = Request::builder().uri(path).header("host", host).body(Body::empty()).unwrap();
        let answer = router(demo).oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        let (parts, body) = answer.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        (parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    fn demo() -> DemoShops {
        let shop = || ShownShop { shop_domain: "</script>".to_owned(), token: "lnt_planted".to_owned() };
        Arc::new(move || vec![shop()])
    }

    #[tokio::test]
    async fn tokens_stand_in_the_page_only_for_a_browser_on_this_machine_in_development() {
        for host in ["127.0.0.1:8080", "localhost", "[::1]:8080"] {
            let (headers, html) = page(Some(demo()), host, "/").await;
            assert!(html.contains(r#"[{"shop_domain":"\u003c/script>","token":"lnt_planted"}]"#), "{host}");
            assert_eq!(headers["cache-control"], "no-store");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:8080", "192.168.1.7:8080", ""] {
            assert!(!page(Some(demo()), host, "/").await.1.contains("lnt_"), "{host}");
        }
        assert!(page(None, "localhost", "/").await.1.contains(SHOPS));
    }

    #[tokio::test]
    async fn pages_are_small_and_load_nothing_from_elsewhere() {
        for (path, lines_max) in [("/", 150), ("/docs", 120)] {
            let (headers, html) = page(None, "localhost", path).await;
            assert!(html.lines().count() < lines_max, "{path} has {} lines", html.lines().count());
            assert!(
                !html.contains("http:") && !html.contains("https:") && !html.contains("innerHTML"),
                "{path}"
            );
            let policy = headers["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        }
    }
}
