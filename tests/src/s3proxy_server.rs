//! A server that speaks S3 and keeps objects as files, so that it can be killed and started again: S3Proxy, made apart from moto.
//!
//! It puts an object on condition that there is none by linking a file that it has written whole, so that is atomic whatever kills it. A put
//! that was cut off leaves the file that it was writing, which it would list as an object; [`S3ProxyServer::restart`] removes such files.

use std::{fs, path::Path};

use crate::{java_server::JavaServer, moto_server::S3Calls};

/// A running server. Dropping it ends it.
pub struct S3ProxyServer {
    java: JavaServer,
}

impl S3ProxyServer {
    /// Starts a server without objects; `None` where there is no Java or no maven, outside CI.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Option<Self> {
        // What is written is read by programs in Python.
        crate::fetched::script("moto/run", &["python"])?;
        let java = JavaServer::start("s3proxy", |port, directory| {
            let (objects, settings) = (directory.join("objects"), directory.join("s3proxy.conf"));
            fs::create_dir(&objects).expect("a directory in a new one");
            let text = format!(
                "s3proxy.authorization=none\ns3proxy.endpoint=http://127.0.0.1:{port}\n\
                 jclouds.provider=filesystem-nio2\njclouds.filesystem.basedir={}\n",
                objects.display()
            );
            fs::write(&settings, text).expect("a file in a new directory");
            let logback = crate::fetched::file("s3proxy/logback.xml");
            vec![
                format!("-Dlogback.configurationFile={}", logback.display()),
                "org.gaul.s3proxy.Main".into(),
                "--properties".into(),
                settings.display().to_string(),
            ]
        });
        java.map(|java| Self { java })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.java.port()
    }

    /// Its address, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Makes a bucket.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn create_bucket(&self, name: &str) {
        S3Calls { port: self.port() }.create_bucket(name);
    }

    /// Kills it with SIGKILL and starts it with the objects that it has.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&self) {
        self.java.kill();
        remove_unfinished(&self.java.directory().join("objects"));
        self.java.start_again();
    }
}

/// What names the uploads that have begun.
const UPLOADS: &str = ".s3proxy-mpu-stub-";

/// Removes what puts were writing: files whose names end with a random UUID, but for those that name uploads.
fn remove_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).expect("it is there").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            remove_unfinished(&path);
        } else if is_unfinished(&name) && !name.starts_with(UPLOADS) {
            fs::remove_file(path).expect("nobody else does");
        }
    }
}

/// Whether a name ends with a dash and a UUID.
fn is_unfinished(name: &str) -> bool {
    const DASHES: [usize; 5] = [0, 9, 14, 19, 24];
    let Some(tail) = name.len().checked_sub(37).and_then(|start| name.as_bytes().get(start..)) else { return false };
    tail.iter().enumerate().all(|(place, byte)| match DASHES.contains(&place) {
        true => *byte == b'-',
        false => byte.is_ascii_hexdigit(),
    })
}
