//! Where samples are: a growing chunk for every series, sealed into blocks of scrapes that retention drops as a whole.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::{
    Point, Sample, Stats,
    chunk::{Head, Reader, STALE, is_stale},
    labels::{Labels, Pool},
};

/// Scrapes in a block.
const BLOCK: u8 = 60;

/// Everything scraped, within retention.
#[derive(Debug)]
pub struct Storage {
    retention: i64,
    /// When the scrapes were, the oldest first.
    times: VecDeque<i64>,
    /// Scrapes of the block that grows: the last so many of `times`.
    growing: u8,
    blocks: VecDeque<Block>,
    series: Vec<Option<Series>>,
    free: Vec<u32>,
    /// Series by the hash of their labels; the next number is tried where two hashes are the same.
    by_labels: HashMap<u64, u32>,
    by_name: HashMap<Arc<str>, Vec<u32>>,
    pool: Pool,
}

#[derive(Debug)]
struct Series {
    labels: Labels,
    head: Head,
    /// Sealed blocks that have samples of it.
    blocks: u32,
    /// Whether the last scrape had it.
    alive: bool,
}

/// Sealed chunks of all series over the same scrapes.
#[derive(Debug)]
struct Block {
    scrapes: u8,
    bytes: Box<[u8]>,
    /// Series and where its chunk begins, sorted.
    chunks: Box<[(u32, u32)]>,
}

impl Block {
    fn chunk(&self, id: u32) -> Option<&[u8]> {
        let index = self.chunks.binary_search_by_key(&id, |(series, _)| *series).ok()?;
        let end = self.chunks.get(index + 1).map_or(self.bytes.len(), |(_, start)| *start as usize);
        self.bytes.get(self.chunks[index].1 as usize..end)
    }
}

impl Storage {
    pub fn new(retention: i64) -> Self {
        Self {
            retention,
            times: VecDeque::new(),
            growing: 0,
            blocks: VecDeque::new(),
            series: Vec::new(),
            free: Vec::new(),
            by_labels: HashMap::new(),
            by_name: HashMap::new(),
            pool: Pool::default(),
        }
    }

    /// Samples of one scrape; series of the last one that are missing here end.
    pub fn scrape(&mut self, at: i64, samples: Vec<Sample>) {
        if self.times.back().is_some_and(|last| *last >= at) {
            return;
        }
        self.append(at, samples);
        let now = self.growing;
        let ended = self.series.iter_mut().flatten().filter(|series| series.alive && series.head.scrapes() < now);
        ended.for_each(|series| {
            series.head.push(now - 1, STALE);
            series.alive = false;
        });
    }

    /// Samples of this moment, or more of them.
    pub fn append(&mut self, at: i64, samples: Vec<Sample>) {
        match self.times.back() {
            Some(last) if *last > at => return,
            Some(last) if *last == at => (),
            _ => self.begin(at),
        }
        let scrape = self.growing - 1;
        for sample in samples {
            let id = self.id(sample.labels);
            if let Some(Some(series)) = self.series.get_mut(id as usize)
                && series.head.scrapes() <= scrape
            {
                series.head.push(scrape, sample.value);
                series.alive = !is_stale(sample.value);
            }
        }
    }

    fn begin(&mut self, at: i64) {
        if self.growing == BLOCK {
            self.seal();
            self.forget(at);
        }
        self.times.push_back(at);
        self.growing += 1;
    }

    fn seal(&mut self) {
        let held = || self.series.iter().enumerate().filter_map(|(id, series)| Some((id as u32, series.as_ref()?)));
        let filled = || held().filter(|(_, series)| series.head.scrapes() > 0);
        let mut bytes = Vec::with_capacity(filled().map(|(_, series)| series.head.bytes().len()).sum());
        let mut chunks = Vec::with_capacity(filled().count());
        for (id, series) in filled() {
            chunks.push((id, bytes.len() as u32));
            bytes.extend_from_slice(series.head.bytes());
        }
        for series in self.series.iter_mut().flatten() {
            series.blocks += u32::from(series.head.scrapes() > 0);
            series.head.clear();
        }
        let block = Block { scrapes: self.growing, bytes: bytes.into_boxed_slice(), chunks: chunks.into_boxed_slice() };
        self.blocks.push_back(block);
        self.growing = 0;
    }

    /// Drops blocks beyond retention, and series that nothing is known of any more.
    fn forget(&mut self, now: i64) {
        let mut forgotten = false;
        while let Some(block) = self.blocks.front()
            && self.times.get(usize::from(block.scrapes) - 1).is_some_and(|last| *last < now - self.retention)
        {
            self.times.drain(..usize::from(block.scrapes));
            for (id, _) in block.chunks.iter() {
                if let Some(Some(series)) = self.series.get_mut(*id as usize) {
                    series.blocks -= 1;
                }
            }
            self.blocks.pop_front();
            forgotten = true;
        }
        if forgotten {
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        for (id, place) in self.series.iter_mut().enumerate() {
            if place.as_ref().is_some_and(|series| series.blocks == 0 && series.head.scrapes() == 0) {
                *place = None;
                self.free.push(id as u32);
            }
        }
        self.by_labels.clear();
        self.by_name.clear();
        for id in 0..self.series.len() as u32 {
            self.index(id);
        }
        self.pool.sweep();
    }

    fn id(&mut self, labels: Labels) -> u32 {
        let labels = labels.interned(&mut self.pool);
        if let Ok(id) = self.find(&labels) {
            return id;
        }
        let series = Some(Series { labels, head: Head::default(), blocks: 0, alive: false });
        let id = match self.free.pop() {
            Some(id) => {
                self.series[id as usize] = series;
                id
            }
            None => {
                self.series.push(series);
                (self.series.len() - 1) as u32
            }
        };
        self.index(id);
        id
    }

    fn index(&mut self, id: u32) {
        let Some(Some(series)) = self.series.get(id as usize) else { return };
        let labels = series.labels.clone();
        if let Err(hash) = self.find(&labels) {
            self.by_labels.insert(hash, id);
        }
        self.by_name.entry(labels.name().cloned().unwrap_or_default()).or_default().push(id);
    }

    /// The series, or the hash under which it belongs.
    fn find(&self, labels: &Labels) -> Result<u32, u64> {
        let mut hasher = DefaultHasher::new();
        labels.hash(&mut hasher);
        let mut hash = hasher.finish();
        while let Some(id) = self.by_labels.get(&hash) {
            if self.labels(*id) == Some(labels) {
                return Ok(*id);
            }
            hash = hash.wrapping_add(1);
        }
        Err(hash)
    }

    pub fn labels(&self, id: u32) -> Option<&Labels> {
        self.series.get(id as usize)?.as_ref().map(|series| &series.labels)
    }

    /// All series, or those of one metric.
    pub fn ids(&self, name: Option<&str>) -> Vec<u32> {
        match name {
            Some(name) => self.by_name.get(name).cloned().unwrap_or_default(),
            None => (0..self.series.len() as u32).filter(|id| self.series[*id as usize].is_some()).collect(),
        }
    }

    /// Appends the samples of a series after `from` and up to `to`, stale markers included.
    pub fn read(&self, id: u32, from: i64, to: i64, points: &mut Vec<Point>) {
        let begin = self.times.partition_point(|time| *time <= from);
        let end = self.times.partition_point(|time| *time <= to);
        let mut first = 0;
        for block in &self.blocks {
            let next = first + usize::from(block.scrapes);
            if begin < next && first < end {
                block.chunk(id).into_iter().for_each(|chunk| self.decode(chunk, first, begin, end, points));
            }
            first = next;
        }
        if first < end
            && let Some(Some(series)) = self.series.get(id as usize)
        {
            self.decode(series.head.bytes(), first, begin, end, points);
        }
    }

    /// `first` is the chunk's first scrape; scrapes from `begin` to before `end` are wanted.
    fn decode(&self, chunk: &[u8], first: usize, begin: usize, end: usize, points: &mut Vec<Point>) {
        let begin = begin.max(first);
        let mut reader = Reader::new(chunk);
        reader.pass(begin - first);
        points.extend((begin..end).zip(reader).filter_map(|(scrape, value)| Some((self.times[scrape], value?))));
    }

    pub fn stats(&self) -> Stats {
        let series = self.series.iter().flatten();
        let growing: usize = series.clone().map(|series| series.head.bytes().len()).sum();
        let sealed: usize = self.blocks.iter().map(|block| block.bytes.len()).sum();
        Stats { series: series.count(), scrapes: self.times.len(), bytes: growing + sealed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: i64 = 15_000;

    fn sample(series: &str, value: f64) -> Sample {
        Sample { labels: Labels::from_pairs([("__name__", "m"), ("s", series)]), value }
    }

    fn points(storage: &Storage, series: &str, from: i64, to: i64) -> Vec<Point> {
        let mut points = Vec::new();
        if let Ok(id) = storage.find(&sample(series, 0.0).labels) {
            storage.read(id, from, to, &mut points);
        }
        points
    }

    #[test]
    fn windows_are_open_on_the_left_and_closed_on_the_right() {
        let mut storage = Storage::new(i64::MAX / 2);
        (1..=200).for_each(|i| storage.scrape(i * SCRAPE, vec![sample("a", i as f64)]));
        let read = points(&storage, "a", 58 * SCRAPE, 62 * SCRAPE);
        assert_eq!(read, [59, 60, 61, 62].map(|i| (i * SCRAPE, i as f64)));
        assert_eq!(points(&storage, "a", 0, i64::MAX).len(), 200);
        assert_eq!(points(&storage, "a", 200 * SCRAPE, i64::MAX), []);
        assert_eq!(points(&storage, "a", 179 * SCRAPE - 1, 179 * SCRAPE + 1), [(179 * SCRAPE, 179.0)]);
    }

    #[test]
    fn what_a_scrape_lacks_ends_and_may_come_again() {
        let mut storage = Storage::new(i64::MAX / 2);
        for i in 1..=130 {
            let mut samples = vec![sample("always", 1.0)];
            if !(50..70).contains(&i) {
                samples.push(sample("sometimes", i as f64));
            }
            storage.scrape(i * SCRAPE, samples);
        }
        let read = points(&storage, "sometimes", 48 * SCRAPE, 71 * SCRAPE);
        assert_eq!(read.iter().map(|(time, _)| time / SCRAPE).collect::<Vec<_>>(), [49, 50, 70, 71]);
        assert!(is_stale(read[1].1) && read[2].1 == 70.0);
    }

    #[test]
    fn late_and_double_samples_are_dropped() {
        let mut storage = Storage::new(i64::MAX / 2);
        storage.scrape(2 * SCRAPE, vec![sample("a", 1.0), sample("a", 2.0)]);
        storage.scrape(2 * SCRAPE, vec![sample("a", 3.0)]);
        storage.append(SCRAPE, vec![sample("b", 3.0)]);
        storage.append(2 * SCRAPE, vec![sample("b", 4.0)]);
        assert_eq!(points(&storage, "a", 0, i64::MAX), [(2 * SCRAPE, 1.0)]);
        assert_eq!(points(&storage, "b", 0, i64::MAX), [(2 * SCRAPE, 4.0)]);
    }

    #[test]
    fn retention_drops_whole_blocks_and_series_without_samples() {
        let mut storage = Storage::new(100 * SCRAPE);
        for i in 1..=10_000 {
            // One series lives on, others come and go.
            storage.scrape(i * SCRAPE, vec![sample("always", i as f64), sample(&format!("s{}", i / 30), 1.0)]);
        }
        let stats = storage.stats();
        assert!(stats.scrapes >= 100 && stats.scrapes < 100 + 2 * usize::from(BLOCK), "{stats:?}");
        assert!(stats.series < 10 && storage.series.len() < 12 && storage.by_labels.len() == stats.series, "{stats:?}");
        assert_eq!(storage.ids(Some("m")).len(), stats.series);
        let read = points(&storage, "always", 9_900 * SCRAPE, 10_000 * SCRAPE);
        assert_eq!(read, (9_901..=10_000).map(|i| (i * SCRAPE, i as f64)).collect::<Vec<_>>());
    }
}
