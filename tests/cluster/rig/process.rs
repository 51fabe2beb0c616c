//! Child processes that never outlive their parent, however that ends.
//!
//! Each part has its own process group, ended on drop. For a parent that cannot drop (killed, or exiting while statics
//! live) there is the keeper: a small shell whose standard input is held open by the parent alone. It learns the
//! groups line by line, and at end of file it kills them and deletes the rig's folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use color_eyre::eyre::{Result, WrapErr, eyre};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::layout::Layout;
use super::parts::Part;

const KEEPER: &str = r#"
groups=' '
while read -r word group; do
    case $word in
    add) groups="$groups$group " ;;
    forget) groups=${groups/ $group / } ;;
    esac
done
for group in $groups; do kill -KILL -- "-$group" 2>/dev/null; done
sleep 0.2
rm -rf -- "$1"
"#;

pub struct Processes {
    running: BTreeMap<Part, Child>,
    keeper: Child,
    orders: Option<ChildStdin>,
}

impl Processes {
    pub fn new(layout: &Layout) -> Result<Self> {
        let mut keeper = Command::new("bash")
            .args(["-c", KEEPER, "rolltop-rig-keeper"])
            .arg(&layout.dir)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .wrap_err("starting bash")?;
        let orders = keeper.stdin.take();
        Ok(Self { running: BTreeMap::new(), keeper, orders })
    }

    pub fn spawn(&mut self, part: Part, layout: &Layout) -> Result<()> {
        let log = File::options().create(true).append(true).open(layout.log(part))?;
        let child = part
            .command(layout)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .wrap_err_with(|| format!("starting {}", part.program()))?;
        self.tell("add", child.id())?;
        self.running.insert(part, child);
        Ok(())
    }

    pub fn running(&mut self, part: Part) -> bool {
        self.running.get_mut(&part).is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    pub fn pids(&self) -> Vec<u32> {
        self.running.values().map(Child::id).collect()
    }

    /// Returns when all of its threads stand still.
    pub fn freeze(&self, part: Part) -> Result<()> {
        let group = self.group(part)?;
        kill_process_group(group, Signal::STOP)?;
        // The kernel stops one thread after the other; left waiting, the news stays for others.
        waitid(WaitId::Pid(group), WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT)?;
        Ok(())
    }

    pub fn thaw(&self, part: Part) -> Result<()> {
        Ok(kill_process_group(self.group(part)?, Signal::CONT)?)
    }

    fn group(&self, part: Part) -> Result<Pid> {
        let child = self.running.get(&part).ok_or_else(|| eyre!("{part:?} is not running"))?;
        group(child)
    }

    /// Ends the part and waits for its end; nothing happens when it is not running.
    pub fn kill(&mut self, part: Part) {
        let Some(mut child) = self.running.remove(&part) else {
            return;
        };
        if let Ok(group) = group(&child) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.wait();
        let _ = self.tell("forget", child.id());
    }

    fn tell(&mut self, word: &str, group: u32) -> Result<()> {
        let orders = self.orders.as_mut().ok_or_else(|| eyre!("the keeper is gone"))?;
        Ok(writeln!(orders, "{word} {group}")?)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // The API server last but one and etcd last: their clients would fill the logs with complaints.
        for part in Part::ALL.into_iter().rev() {
            self.kill(part);
        }
        self.orders = None;
        let _ = self.keeper.wait();
    }
}

fn group(child: &Child) -> Result<Pid> {
    Pid::from_raw(child.id().try_into()?).ok_or_else(|| eyre!("no process group"))
}
