//! A process as the kernel keeps its books.

use std::{fs, time::Duration};

pub struct Process(pub u32);

impl Process {
    /// CPU time of all threads alive, to the nanosecond: the ticks of `stat` are too coarse for an idle minute.
    pub fn cpu(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0)).unwrap();
        let of = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("schedstat")).ok();
        let spent = threads.flatten().filter_map(of).filter_map(|text| text.split(' ').next()?.parse::<u64>().ok());
        Duration::from_nanos(spent.sum())
    }

    pub fn resident_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib / 1024.0
    }
}
