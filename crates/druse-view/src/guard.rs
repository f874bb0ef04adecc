//! Who may ask: whoever has the token, through the server's own address, from its own page.
//!
//! Other programs of this machine reach a port of the loopback interface, and so do pages of the internet in the browser of
//! the person: by a form or a script (which bring their `Origin`), or under a name of their own that they let point to
//! 127.0.0.1 (which stands in `Host`). None of them knows the token, which is compared in constant time.

use std::fmt::Write;

use axum::http::{HeaderMap, header};

use crate::ViewError;

/// Header that may bring the token in place of the cookie, for programs.
pub const TOKEN_HEADER: &str = "x-druse-token";

/// What requests are compared with.
#[derive(Debug, Clone)]
pub struct Guard {
    token: String,
    port: u16,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It came under another name.
    Host,
    /// It came from another page.
    Origin,
    /// It has no token, or another one.
    Token,
}

impl Refusal {
    /// The reason, for the person.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Host => "this server answers to its own address alone, not to other names",
            Self::Origin => {
                "this request came from another page: copy the address that `druse view` has printed into the browser"
            }
            Self::Token => {
                "the token is missing or wrong: open the address that `druse view` has printed, with everything behind it"
            }
        }
    }
}

impl Guard {
    /// A guard with a new token of 128 random bits, for a server on this port.
    ///
    /// # Errors
    /// [`ViewError::Random`].
    pub fn new(port: u16) -> Result<Self, ViewError> {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).map_err(ViewError::Random)?;
        let token = bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Ok(Self { token, port })
    }

    /// The token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The address for the person, token included.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/?token={}", self.port, self.token)
    }

    /// Name of the cookie; cookies do not tell ports apart, so it has the port in it.
    fn cookie(&self) -> String {
        format!("druse-view-{}", self.port)
    }

    /// The header that sets the cookie.
    pub fn set_cookie(&self) -> String {
        format!("{}={}; HttpOnly; SameSite=Strict; Path=/", self.cookie(), self.token)
    }

    /// Whether a text is the token.
    pub fn is_token(&self, text: &str) -> bool {
        same(self.token.as_bytes(), text.as_bytes())
    }

    /// Whether a request comes under the server's own name and from its own page.
    ///
    /// # Errors
    /// [`Refusal::Host`], [`Refusal::Origin`].
    pub fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let own = ["127.0.0.1", "localhost"].map(|host| format!("{host}:{}", self.port));
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).ok_or(Refusal::Host)?;
        if headers.get_all(header::HOST).iter().count() > 1 || !own.iter().any(|name| name == host) {
            return Err(Refusal::Host);
        }
        if headers.contains_key(header::ORIGIN) {
            let origin = text(header::ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
            // The very name the request came under: 127.0.0.1 and localhost are two origins.
            if origin != Some(host) {
                return Err(Refusal::Origin);
            }
        }
        match headers.get("sec-fetch-site").and_then(|value| value.to_str().ok()) {
            None | Some("same-origin" | "none") => Ok(()),
            Some(_) => Err(Refusal::Origin),
        }
    }

    /// Whether a request brings the token, in its cookie or header.
    ///
    /// # Errors
    /// [`Refusal::Token`].
    pub fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let name = self.cookie();
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let of_cookie = cookies
            .flat_map(|all| all.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .any(|(key, value)| key == name && self.is_token(value));
        let of_header = headers
            .get(TOKEN_HEADER)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| self.is_token(value));
        if of_cookie || of_header { Ok(()) } else { Err(Refusal::Token) }
    }
}

/// Whether two texts are the same, in a time that depends on their lengths alone.
fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut different = 0u8;
    for (x, y) in a.iter().zip(b) {
        different |= std::hint::black_box(x ^ y);
    }
    std::hint::black_box(different) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new(4000).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.insert(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let (a, b) = (guard(), guard());
        assert_eq!(a.token().len(), 32);
        assert_ne!(a.token(), b.token());
        assert!(
            a.is_token(a.token())
                && !a.is_token(b.token())
                && !a.is_token("")
                && !a.is_token(&a.token()[1..])
        );
        assert!(a.address().ends_with(a.token()));
    }

    #[test]
    fn other_names_are_refused() {
        for host in ["127.0.0.1:4000", "localhost:4000"] {
            assert_eq!(guard().check_origin(&headers(&[("host", host)])), Ok(()));
        }
        for host in [
            "evil.example:4000",
            "127.0.0.1",
            "127.0.0.1:4001",
            "localhost.evil.example:4000",
            "127.0.0.1:4000.evil.example",
        ] {
            assert_eq!(guard().check_origin(&headers(&[("host", host)])), Err(Refusal::Host), "{host}");
        }
        assert_eq!(guard().check_origin(&HeaderMap::new()), Err(Refusal::Host));
    }

    #[test]
    fn other_pages_are_refused() {
        let from = |origin| guard().check_origin(&headers(&[("host", "localhost:4000"), ("origin", origin)]));
        assert_eq!(from("http://localhost:4000"), Ok(()));
        for origin in [
            "http://evil.example",
            "null",
            "http://localhost:5000",
            "https://localhost:4000",
            "http://127.0.0.1:4000",
        ] {
            assert_eq!(from(origin), Err(Refusal::Origin), "{origin}");
        }
        let site =
            |value| guard().check_origin(&headers(&[("host", "localhost:4000"), ("sec-fetch-site", value)]));
        assert_eq!((site("none"), site("same-origin")), (Ok(()), Ok(())));
        // A page on another port of this machine.
        assert_eq!(site("same-site"), Err(Refusal::Origin));
        assert_eq!(site("cross-site"), Err(Refusal::Origin));
    }

    #[test]
    fn the_token_comes_by_cookie_or_header() {
        let guard = guard();
        let token = guard.token().to_owned();
        let cookie = format!("a=b; druse-view-4000={token}");
        assert_eq!(guard.check_token(&headers(&[("cookie", &cookie)])), Ok(()));
        assert_eq!(guard.check_token(&headers(&[("x-druse-token", &token)])), Ok(()));
        let other = format!("druse-view-4001={token}");
        for wrong in [&other, "druse-view-4000=", "druse-view-4000=0"] {
            assert_eq!(guard.check_token(&headers(&[("cookie", wrong)])), Err(Refusal::Token), "{wrong}");
        }
        assert_eq!(guard.check_token(&HeaderMap::new()), Err(Refusal::Token));
    }
}
