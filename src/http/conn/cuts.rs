//! Connections that the server ended though their client would have kept them, counted by why.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Its peer had as many as it may.
    Peer,
    /// The TLS handshake took too long.
    Handshake,
    /// Its first byte did not come.
    FirstByte,
    /// The headers of a request took too long.
    Header,
    /// It rested for too long between requests.
    KeepAlive,
    /// Its client took too long to read an answer.
    Idle,
    /// Its client did not answer to a ping of HTTP/2.
    Ping,
    /// Its client reset streams of HTTP/2 again and again, had the server reset them, or sent frames
    /// that cost the server and say nothing.
    Flood,
    /// Too much was left of a refused body, or it came too slowly.
    Unread,
    /// The node stopped, and it had not ended within the drain time.
    Drain,
}

impl Cut {
    /// All of them.
    pub(crate) const ALL: [Self; 10] = [
        Self::Peer,
        Self::Handshake,
        Self::FirstByte,
        Self::Header,
        Self::KeepAlive,
        Self::Idle,
        Self::Ping,
        Self::Flood,
        Self::Unread,
        Self::Drain,
    ];

    /// The word that metrics use: the setting below `limits` or `tls` without its unit, where there
    /// is one.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Peer => "connections_per_peer",
            Self::Handshake => "handshake",
            Self::FirstByte => "first_byte",
            Self::Header => "header",
            Self::KeepAlive => "keep_alive",
            Self::Idle => "idle",
            Self::Ping => "ping",
            Self::Flood => "flood",
            Self::Unread => "unread_body",
            Self::Drain => "drain",
        }
    }
}

impl Cut {
    /// Why HTTP's own machinery has ended a connection with `error`; `None` where its client did, or
    /// broke the rules in a way that is no attack.
    pub(crate) fn by_http(error: &hyper::Error) -> Option<Self> {
        if error.is_timeout() {
            // All other timers are the socket's: this is hyper's, of pings.
            return Some(Self::Ping);
        }
        let http2 = std::error::Error::source(error)?.downcast_ref::<h2::Error>()?;
        let ours = http2.is_go_away() && http2.is_library();
        let calm = http2.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
        (ours && calm).then_some(Self::Flood)
    }
}

/// How many connections were cut, by why.
#[derive(Debug, Default)]
pub(crate) struct Cuts([AtomicU64; Cut::ALL.len()]);

impl Cuts {
    /// Counts one.
    pub(crate) fn count(&self, why: Cut) {
        self.count_many(why, 1);
    }

    /// Counts several.
    pub(crate) fn count_many(&self, why: Cut, how_many: u64) {
        let known = Cut::ALL.iter().zip(&self.0).find(|(cut, _)| **cut == why);
        if let Some((_, counter)) = known {
            counter.fetch_add(how_many, Ordering::Relaxed);
        }
    }

    /// All counts.
    pub(crate) fn read(&self) -> impl Iterator<Item = (Cut, u64)> + '_ {
        let all = Cut::ALL.into_iter().zip(&self.0);
        all.map(|(cut, counter)| (cut, counter.load(Ordering::Relaxed)))
    }
}
