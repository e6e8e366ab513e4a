//! Somebody asks what is held of them.
use crate::{CustomerId, Digest, Timestamp, payload, privacy_request::RequestSource};

payload! {
    /// A person asks for what is held of them.
    DataRequestReceived {
        /// The person's customers, merged ones too; none if nothing is held of the person.
        subjects: Vec<CustomerId>,
        /// Who asks.
        source: RequestSource,
        /// When it was asked for.
        requested_at: Timestamp,
        /// When it has to be done.
        due_at: Timestamp,
    }
    sample: Self {
        subjects: vec![CUSTOMER],
        source: RequestSource::Shopify,
        requested_at: time(),
        due_at: expiry(),
    }
}

payload! {
    /// The export can be had. It is sealed under the person's key.
    DataExportPrepared {
        /// How many files it has.
        files: u32,
        /// How large they are together.
        bytes: u64,
        /// Keyed digest of the manifest.
        manifest_digest: Digest,
        /// Until when it can be had.
        expires_at: Timestamp,
    }
    sample: Self { files: 2, bytes: 4096, manifest_digest: DIGEST, expires_at: expiry() }
}

payload! {
    /// The whole export was fetched.
    DataExportDelivered {
        /// When.
        delivered_at: Timestamp,
    }
    sample: Self { delivered_at: time() }
}
