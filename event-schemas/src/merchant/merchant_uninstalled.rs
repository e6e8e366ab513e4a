//! A shop left.
use crate::payload;

payload! {
    /// A shop uninstalled the app. Its history stays.
    MerchantUninstalled {}
    sample: Self {}
}
