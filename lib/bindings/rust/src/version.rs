// SPDX-License-Identifier: MIT
use crate::native::krepis_version;
use crate::{Error, Result};
use std::cmp::Ordering;
use std::ffi::CStr;

pub(crate) const CRATE: &str = env!("CARGO_PKG_VERSION");

/// The version of the library that was loaded.
pub fn version() -> &'static str {
    // SAFETY: a static string, never NULL.
    unsafe { CStr::from_ptr(krepis_version()) }.to_str().unwrap_or("?")
}

/// By their numbers: 0.10.0 is newer than 0.9.0.
fn compare(a: &str, b: &str) -> Ordering {
    let numbers = |v: &str| -> Vec<u64> { v.split('.').map(|n| n.parse().unwrap_or(0)).collect() };
    numbers(a).cmp(&numbers(b))
}

fn check(library: &str) -> Result<()> {
    match compare(library, CRATE) {
        Ordering::Equal => Ok(()),
        library => Err(Error::VersionMismatch { library }),
    }
}

/// Before the first use of the library. Only who makes or opens a channel asks, so it need not be quick.
pub(crate) fn same() -> Result<()> {
    check(version())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(compare("0.9.0", "0.10.0"), Ordering::Less);
        assert_eq!(compare("1.0.0", "0.10.0"), Ordering::Greater);
        assert_eq!(compare("0.1.0", "0.1.0"), Ordering::Equal);
    }

    #[test]
    fn another_version_is_an_error_that_says_who_is_older() {
        assert_eq!(check(CRATE), Ok(()));
        let error = check("0.0.1").unwrap_err();
        assert!(error.to_string().ends_with("the library is older"), "{}", error);
        let error = check("999.0.0").unwrap_err();
        assert!(error.to_string().ends_with("the crate is older"), "{}", error);
    }
}
