use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{MasterKey, SecretError};

/// A master key in a file of its own, for a server that was given none: `PATH.key` beside the database at `PATH`.
#[derive(Debug)]
pub struct KeyFile {
    pub path: PathBuf,
    pub master_key: MasterKey,
    pub origin: KeyFileOrigin,
    /// Whether other users of the machine may read it.
    pub exposed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFileOrigin {
    Found,
    /// Made just now, with a random key.
    Made,
}

impl KeyFile {
    pub fn path_beside(database: &Path) -> PathBuf {
        let mut path = OsString::from(database);
        path.push(".key");
        path.into()
    }

    /// `None`: there is no such file. What asks for the key of secrets that exist should use this: a new key opens none.
    pub fn read(path: &Path) -> Result<Option<Self>, SecretError> {
        let failed = |message: String| SecretError::KeyFile { path: path.into(), message };
        let text = match fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(format!("cannot be read: {error}"))),
        };
        if text.trim().len() != 64 || !text.trim().bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(failed(
                "does not hold a key of 64 hexadecimal digits; restore it from a backup, or remove it if no secret is stored"
                    .into(),
            ));
        }
        let master_key = MasterKey::new(&text)?;
        let exposed = is_exposed(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
        Ok(Some(Self { path: path.into(), master_key, origin: KeyFileOrigin::Found, exposed }))
    }

    /// Makes the file where there is none. Of processes that do so at once, one makes it and all read the same key.
    pub fn read_or_make(path: &Path) -> Result<Self, SecretError> {
        if let Some(found) = Self::read(path)? {
            return Ok(found);
        }
        let made = make(path).map_err(|error| SecretError::KeyFile {
            path: path.into(),
            message: format!("cannot be made: {error}; make its folder writable, or set GATEWAY_MASTER_KEY"),
        })?;
        let mut file = Self::read(path)?.ok_or_else(|| SecretError::KeyFile {
            path: path.into(),
            message: "was removed by another process".into(),
        })?;
        if made {
            file.origin = KeyFileOrigin::Made;
        }
        Ok(file)
    }
}

/// `false`: another process made it meanwhile. The key is written under another name, and linked to its own when it is
/// whole: no process ever finds half a key, and a link is made once, as with `O_EXCL`.
fn make(path: &Path) -> io::Result<bool> {
    let key = MasterKey::random().map_err(|error| io::Error::other(error.to_string()))?;
    let mut draft = OsString::from(path);
    draft.push(format!(".{}.tmp", uuid::Uuid::new_v4()));
    let draft = PathBuf::from(draft);
    let made = write_new(&draft, &key).and_then(|()| match fs::hard_link(&draft, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        // A file system without links.
        Err(_) => match write_new(path, &key) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            written => written.map(|()| true),
        },
    });
    // What stays behind where this fails is an unused key that nobody else can read.
    let _ = fs::remove_file(&draft);
    made
}

fn write_new(path: &Path, key: &MasterKey) -> io::Result<()> {
    let mut file = new_private_file(path)?;
    file.write_all(key.bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn new_private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn is_exposed(path: &Path) -> io::Result<bool> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path)?.permissions());
    Ok(mode & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_exposed(_: &Path) -> io::Result<bool> {
    Ok(false)
}
