//! The ledger's key, and the checkpoints it signs.

use crate::error::LedgerError;
use crate::files;
use rand_core::{OsRng, RngCore as _};
use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};
use std::io;
use std::path::Path;
use tlog_tiles::{Checkpoint, Hash};

/// The key that checkpoints are verified with: `NAME+ID+KEY`, as C2SP signed-note writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(String);

impl PublicKey {
    /// Reads `NAME+ID+KEY`.
    ///
    /// # Errors
    /// When it has another form or is no Ed25519 key.
    pub fn parse(text: &str) -> Result<Self, LedgerError> {
        let key = text.trim();
        StandardVerifier::new(key).map_err(|_cause| LedgerError::PublicKey { key: key.to_owned() })?;
        Ok(Self(key.to_owned()))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ledger's name, which is the origin of its checkpoints.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split('+').next().unwrap_or_default()
    }

    /// Reads a signed checkpoint and checks its origin and signature. `what` names it in errors.
    pub(crate) fn verify(&self, note: &[u8], what: &str) -> Result<SignedCheckpoint, LedgerError> {
        let refused = || LedgerError::Checkpoint { what: what.to_owned() };
        let verifier = StandardVerifier::new(&self.0).map_err(|_cause| refused())?;
        let parsed = Note::from_bytes(note).map_err(|_cause| refused())?;
        let known = VerifierList::new(vec![Box::new(verifier)]);
        parsed.verify(&known).map_err(|_cause| refused())?;
        let checkpoint = Checkpoint::from_bytes(parsed.text()).map_err(|_cause| refused())?;
        if checkpoint.origin() != self.name() {
            return Err(refused());
        }
        Ok(SignedCheckpoint {
            size: checkpoint.size(),
            root: checkpoint.hash().0,
            note: note.to_vec(),
        })
    }
}

/// A checkpoint whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// How many entries it covers.
    pub size: u64,
    /// The root of the tree over them.
    pub root: [u8; 32],
    /// The signed note itself.
    pub note: Vec<u8>,
}

/// The key that signs.
pub(crate) struct SigningKey {
    signer: StandardSigner,
    name: String,
}

impl SigningKey {
    /// Reads the key, or makes one. Whoever calls this has the ledger's lock.
    pub(crate) fn open(folder: &Path) -> Result<Self, LedgerError> {
        let path = folder.join("key");
        let text = match files::read(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Self::create(folder, &path)?,
            Err(cause) => return Err(files::failed("read", &path)(cause)),
        };
        let malformed = || LedgerError::Key { path: path.clone() };
        let text = String::from_utf8(text).map_err(|_cause| malformed())?;
        let text = text.trim();
        let name = text
            .strip_prefix("PRIVATE+KEY+")
            .and_then(|rest| rest.split('+').next());
        Ok(Self {
            signer: StandardSigner::new(text).map_err(|_cause| malformed())?,
            name: name.ok_or_else(malformed)?.to_owned(),
        })
    }

    fn create(folder: &Path, path: &Path) -> Result<Vec<u8>, LedgerError> {
        let name = format!("cofferdam-ledger-{:016x}", OsRng.next_u64());
        let (private, public) = signed_note::generate_key(&mut OsRng, &name);
        // First: a key without its public half could sign, and nobody verify.
        files::write(&folder.join("key.pub"), format!("{public}\n").as_bytes(), true)?;
        files::write(path, private.as_bytes(), true)?;
        Ok(private.into_bytes())
    }

    /// The signed checkpoint of a tree.
    pub(crate) fn sign(&self, size: u64, root: Hash) -> Result<Vec<u8>, LedgerError> {
        let refused = || LedgerError::Checkpoint {
            what: "the new checkpoint".to_owned(),
        };
        let checkpoint = Checkpoint::new(&self.name, size, root, "").map_err(|_cause| refused())?;
        let mut note = Note::new(&checkpoint.to_bytes(), &[]).map_err(|_cause| refused())?;
        note.add_sigs(&[&self.signer]).map_err(|_cause| refused())?;
        Ok(note.to_bytes())
    }
}
