#![allow(clippy::unwrap_used)]

use super::*;

fn endpoint(url: &str) -> Endpoint {
    Endpoint::new(Url::parse(url).unwrap(), HeaderMap::new()).unwrap()
}

#[test]
fn paths_go_before_the_query_of_a_base_url() {
    for (base, path, whole) in [
        ("http://a.test/v1?tenant=a", "/chat", "http://a.test/v1/chat?tenant=a"),
        ("http://a.test/v1/?tenant=a", "/chat", "http://a.test/v1/chat?tenant=a"),
        ("http://a.test/v1?tenant=a", "/m:stream?alt=sse", "http://a.test/v1/m:stream?tenant=a&alt=sse"),
        ("http://a.test/v1", "/m:stream?alt=sse", "http://a.test/v1/m:stream?alt=sse"),
        ("http://a.test", "/chat", "http://a.test/chat"),
        ("http://a.test?k=v", "/chat", "http://a.test/chat?k=v"),
        ("http://a.test/v1?k=v", "", "http://a.test/v1?k=v"),
    ] {
        assert_eq!(endpoint(base).at(path).unwrap().url().as_str(), whole);
    }
}

#[test]
fn no_path_climbs_out_of_the_base_url() {
    let base = endpoint("http://a.test/accounts/me/run");
    for path in ["/@cf/../../other", "/..", "/%2e%2E/x", "/a/./b", "/.%2e/b", "/a\\..\\b"] {
        assert!(base.at(path).is_none(), "{path}");
    }
    assert!(base.at("/@cf/meta/llama-3.1..beta").is_some());
}

#[test]
fn user_and_password_of_an_address_are_sent_as_basic_authorization() {
    let base = endpoint("http://ada:p%40ss@a.test/v1");
    let chat = base.at("/chat").unwrap();
    assert_eq!(chat.headers()[AUTHORIZATION], format!("Basic {}", BASE64_STANDARD.encode("ada:p@ss")));
    assert_eq!(chat.url().as_str(), "http://a.test/v1/chat");
    let own = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer k"))]);
    let keyed = Endpoint::new(Url::parse("http://ada:p@a.test").unwrap(), own).unwrap();
    assert_eq!(keyed.headers()[AUTHORIZATION], "Bearer k");
}

#[test]
fn a_redirect_to_another_host_is_refused_unless_the_entry_allows_it() {
    let own = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer k"))]);
    let base = Endpoint::new(Url::parse("http://a.test/v1").unwrap(), own).unwrap();
    let redirected = |base: &Endpoint, location: &'static str| {
        let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(location))]);
        match base.redirected(StatusCode::PERMANENT_REDIRECT, &headers) {
            Redirect::None => "none".to_owned(),
            Redirect::To(target) => {
                format!("{} {}", target.url(), target.headers().contains_key(AUTHORIZATION))
            }
            Redirect::Refused(host) => format!("refused {host}"),
        }
    };
    assert_eq!(redirected(&base, "/v2"), "http://a.test/v2 true");
    assert_eq!(redirected(&base, "http://b.test:81/v2"), "refused b.test:81");
    assert_eq!(redirected(&base, "https://a.test:81/v2"), "https://a.test:81/v2 false");
    let secured = Endpoint::new(Url::parse("https://a.test/v1").unwrap(), HeaderMap::new()).unwrap();
    assert_eq!(redirected(&secured, "http://a.test/v2"), "refused a.test");
    let base = base.allow_redirects_to(&["B.test".to_owned(), "c.test:82".to_owned()]);
    assert_eq!(redirected(&base, "http://u:p@b.test:81/v2"), "http://b.test:81/v2 false");
    assert_eq!(redirected(&base, "http://c.test:82/"), "http://c.test:82/ false");
    assert_eq!(redirected(&base, "http://c.test/"), "refused c.test");
}
