//! The messages about the cluster itself: which versions a broker speaks (ApiVersions, 18), who looks after a group (FindCoordinator, 10),
//! who we are (SaslHandshake, 17; SaslAuthenticate, 36), and settings of a group (IncrementalAlterConfigs, 44).

use super::{
    Request,
    codec::{Blob, Malformed, Reader, Wire, Writer, structures},
};

structures! {
    /// What do you speak?
    struct ApiVersions {
        software: String,
        software_version: String,
    }

    /// A kind of message and its versions.
    struct ApiRange {
        key: i16,
        least: i16,
        most: i16,
    }

    /// A feature that the whole cluster has agreed on.
    struct Feature {
        name: String,
        most: i16,
        least: i16,
    }

    /// Who looks after this group?
    struct FindCoordinator {
        key: String,
        /// 0 is a group.
        kind: i8,
    }

    /// This broker does.
    struct FindCoordinatorAnswer {
        /// In milliseconds.
        throttle: i32,
        error: i16,
        message: Option<String>,
        node: i32,
        host: String,
        port: i32,
    }

    /// One step of an exchange of proofs.
    struct SaslAuthenticate {
        bytes: Blob,
    }

    /// The other side's step.
    struct SaslAuthenticateAnswer {
        error: i16,
        message: Option<String>,
        bytes: Blob,
        /// In milliseconds.
        session_lifetime: i64,
    }

    /// Change settings.
    struct AlterConfigs {
        resources: Vec<AlterResource>,
        validate_only: bool,
    }

    /// Of one thing.
    struct AlterResource {
        /// 32 is a group.
        kind: i8,
        name: String,
        configs: Vec<AlterConfig>,
    }

    /// One setting.
    struct AlterConfig {
        name: String,
        /// 0 sets it.
        operation: i8,
        value: Option<String>,
    }

    /// What has become of it.
    struct AlterConfigsAnswer {
        /// In milliseconds.
        throttle: i32,
        resources: Vec<AlteredResource>,
    }

    /// One thing.
    struct AlteredResource {
        error: i16,
        message: Option<String>,
        kind: i8,
        name: String,
    }
}

/// What a broker speaks. Brokers that do not know the version of the question answer in the oldest form: only the error is read then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::log::kafka) struct ApiVersionsAnswer {
    pub(in crate::log::kafka) error: i16,
    pub(in crate::log::kafka) keys: Vec<ApiRange>,
    pub(in crate::log::kafka) finalized: Vec<Feature>,
}

/// The tag of the finalized features in the answer.
const FINALIZED: u32 = 2;

impl Wire for ApiVersionsAnswer {
    fn put(&self, out: &mut Writer, version: i16) {
        self.error.put(out, version);
        self.keys.put(out, version);
        0_i32.put(out, version);
        let mut features = Writer::default();
        self.finalized.put(&mut features, version);
        out.varint(1);
        out.varint(FINALIZED);
        out.varint(u32::try_from(features.0.len()).expect("features are few"));
        out.raw(&features.0);
    }

    fn take(input: &mut Reader<'_>, version: i16) -> Result<Self, Malformed> {
        let error = i16::take(input, version)?;
        if error != 0 {
            return Ok(Self { error, ..Self::default() });
        }
        let keys = Vec::take(input, version)?;
        i32::take(input, version)?;
        let mut finalized = Vec::new();
        input.tagged(|tag, field| {
            if tag == FINALIZED {
                finalized = Vec::take(field, version)?;
            }
            Ok(())
        })?;
        Ok(Self { error, keys, finalized })
    }
}

/// Which way to prove who we are; in the older form of messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::log::kafka) struct SaslHandshake {
    pub(in crate::log::kafka) mechanism: String,
}

/// Whether it will do, and which ways would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::log::kafka) struct SaslHandshakeAnswer {
    pub(in crate::log::kafka) error: i16,
    pub(in crate::log::kafka) mechanisms: Vec<String>,
}

impl Wire for SaslHandshake {
    fn put(&self, out: &mut Writer, _: i16) {
        out.short_text(&self.mechanism);
    }

    fn take(input: &mut Reader<'_>, _: i16) -> Result<Self, Malformed> {
        Ok(Self { mechanism: input.short_text()? })
    }
}

impl Wire for SaslHandshakeAnswer {
    fn put(&self, out: &mut Writer, version: i16) {
        self.error.put(out, version);
        i32::try_from(self.mechanisms.len()).expect("ways are few").put(out, version);
        self.mechanisms.iter().for_each(|mechanism| out.short_text(mechanism));
    }

    fn take(input: &mut Reader<'_>, version: i16) -> Result<Self, Malformed> {
        let error = i16::take(input, version)?;
        let count = i32::take(input, version)?;
        let mechanisms = (0..count).map(|_| input.short_text()).collect::<Result<_, _>>()?;
        Ok(Self { error, mechanisms })
    }
}

impl Request for ApiVersions {
    const KEY: i16 = 18;
    const NAME: &'static str = "ApiVersions";
    const VERSIONS: (i16, i16) = (3, 3);
    const FLEXIBLE_ANSWER_HEADER: bool = false;
    type Answer = ApiVersionsAnswer;
}

impl Request for FindCoordinator {
    const KEY: i16 = 10;
    const NAME: &'static str = "FindCoordinator";
    const VERSIONS: (i16, i16) = (3, 3);
    type Answer = FindCoordinatorAnswer;
}

impl Request for SaslHandshake {
    const KEY: i16 = 17;
    const NAME: &'static str = "SaslHandshake";
    const VERSIONS: (i16, i16) = (1, 1);
    const FLEXIBLE_HEADER: bool = false;
    const FLEXIBLE_ANSWER_HEADER: bool = false;
    type Answer = SaslHandshakeAnswer;
}

impl Request for SaslAuthenticate {
    const KEY: i16 = 36;
    const NAME: &'static str = "SaslAuthenticate";
    const VERSIONS: (i16, i16) = (2, 2);
    type Answer = SaslAuthenticateAnswer;
}

impl Request for AlterConfigs {
    const KEY: i16 = 44;
    const NAME: &'static str = "IncrementalAlterConfigs";
    const VERSIONS: (i16, i16) = (1, 1);
    type Answer = AlterConfigsAnswer;
}
