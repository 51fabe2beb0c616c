//! The samples of one series over consecutive scrapes, in as few bytes as a counter needs.
//!
//! Most series count something: their steps from scrape to scrape are small integers that change little, or nothing at
//! all. So the change of the step is kept, in one byte where possible, and runs of an unchanged step in one byte for 64
//! scrapes. Values with up to three decimals are counted in thousandths. Any other value costs nine bytes.
//!
//! There are no times: a chunk begins at a scrape its owner knows and says for every scrape since what it brought.

/// The value that says a series is no more, as Prometheus writes it.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether this is the stale marker; no calculation ever has it as its result.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

/// Beyond this, not every integer is a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// `0x00..=0x7f`: zigzag of the change of the step, less one. The rest by their first byte:
const RUN: u8 = 0x80;
const TWO_BYTES: u8 = 0xc0;
const THREE_BYTES: u8 = 0xe0;
const FOUR_BYTES: u8 = 0xe8;
const CHANGE: u8 = 0xf0;
const RAW: u8 = 0xf1;
const GONE: u8 = 0xf2;
const ABSENT: u8 = 0xf3;
const WHOLE: u8 = 0xf4;
const THOUSANDTHS: u8 = 0xf5;

const LONGEST_RUN: u8 = 64;

/// What values are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Unit {
    /// No value yet that is such a count.
    #[default]
    None,
    One,
    Thousandth,
}

impl Unit {
    fn scale(self) -> f64 {
        if self == Self::Thousandth { 1_000.0 } else { 1.0 }
    }

    /// The count that stands for exactly this value.
    fn count(self, value: f64) -> Option<i64> {
        let count = (value * self.scale()).round() as i64;
        let exact = (count as f64).abs() < EXACT && (count as f64 / self.scale()).to_bits() == value.to_bits();
        (self != Self::None && exact).then_some(count)
    }
}

/// What the next value is compared with.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    unit: Unit,
    last: i64,
    step: i64,
}

/// A chunk that grows.
#[derive(Debug, Default)]
pub struct Head {
    bytes: Vec<u8>,
    state: State,
    scrapes: u8,
    /// The last byte is a run that may become longer.
    running: bool,
}

impl Head {
    /// Scrapes so far, with or without a sample.
    pub fn scrapes(&self) -> u8 {
        self.scrapes
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Begins anew. What takes no samples any more should not hold memory for them.
    pub fn clear(&mut self) {
        if self.scrapes == 0 {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        (self.state, self.scrapes, self.running) = (State::default(), 0, false);
    }

    /// The next scrape brought this; `scrape` counts from the chunk's first, and those in between brought nothing.
    pub fn push(&mut self, scrape: u8, value: f64) {
        let missed = scrape.saturating_sub(self.scrapes);
        if missed > 0 {
            self.put(&[ABSENT, missed]);
            self.scrapes += missed;
        }
        self.scrapes += 1;
        if is_stale(value) {
            self.put(&[GONE]);
        } else if let Some(count) = self.state.unit.count(value) {
            self.push_count(count);
        } else {
            self.push_new(value);
        }
    }

    fn push_count(&mut self, count: i64) {
        let state = &mut self.state;
        let step = count - state.last;
        let change = step - state.step;
        (state.last, state.step) = (count, step);
        if change == 0 {
            return self.push_same();
        }
        let zigzag = ((change << 1) ^ (change >> 63)) as u64;
        let [a, b, c, d, ..] = zigzag.to_le_bytes();
        match zigzag {
            1..=0x80 => self.put(&[a - 1]),
            0x81..=0x1fff => self.put(&[TWO_BYTES | b, a]),
            0x2000..=0x7_ffff => self.put(&[THREE_BYTES | c, b, a]),
            0x8_0000..=0x7ff_ffff => self.put(&[FOUR_BYTES | d, c, b, a]),
            _ => self.put_long(CHANGE, zigzag),
        }
    }

    fn push_same(&mut self) {
        match self.bytes.last_mut() {
            Some(run) if self.running && *run < RUN + LONGEST_RUN - 1 => *run += 1,
            _ => {
                self.put(&[RUN]);
                self.running = true;
            }
        }
    }

    /// A value that does not follow from the one before.
    fn push_new(&mut self, value: f64) {
        let found = [(Unit::One, WHOLE), (Unit::Thousandth, THOUSANDTHS)].into_iter().find_map(|(u, t)| Some((u, t, u.count(value)?)));
        match found {
            Some((unit, token, last)) => {
                self.state = State { unit, last, step: 0 };
                self.put_long(token, last as u64);
            }
            None => self.put_long(RAW, value.to_bits()),
        }
    }

    fn put_long(&mut self, token: u8, bits: u64) {
        self.put(&[token]);
        self.bytes.extend(bits.to_le_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        // Doubling would leave half of many small vectors empty.
        if self.bytes.capacity() < self.bytes.len() + bytes.len() + 8 {
            self.bytes.reserve_exact(bytes.len() + 8 + self.bytes.len() / 4);
        }
        self.bytes.extend_from_slice(bytes);
        self.running = false;
    }
}

/// Reads a chunk: for each scrape the value it brought, [`STALE`] included, or nothing.
pub struct Reader<'a> {
    bytes: &'a [u8],
    state: State,
    same: u8,
    absent: u8,
}

/// What a scrape brought. A count is only made a value if somebody wants it.
enum Brought {
    Count,
    Value(f64),
    Nothing,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, state: State::default(), same: 0, absent: 0 }
    }

    fn value(&self, brought: &Brought) -> Option<f64> {
        match brought {
            Brought::Count if self.state.unit == Unit::Thousandth => Some(self.state.last as f64 / self.state.unit.scale()),
            Brought::Count => Some(self.state.last as f64),
            Brought::Value(value) => Some(*value),
            Brought::Nothing => None,
        }
    }

    fn stepped(&mut self, zigzag: u64) -> Brought {
        let state = &mut self.state;
        state.step += (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        state.last += state.step;
        Brought::Count
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        if let Some((head, rest)) = self.bytes.split_at_checked(N) {
            taken.copy_from_slice(head);
            self.bytes = rest;
        }
        taken
    }

    fn long(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn start(&mut self, unit: Unit) -> Brought {
        self.state = State { unit, last: self.long() as i64, step: 0 };
        Brought::Count
    }

    fn token(&mut self, token: u8) -> Brought {
        let high = |bits: u8| u64::from(token & bits);
        match token {
            0..RUN => self.stepped(u64::from(token) + 1),
            RUN..TWO_BYTES => {
                self.same = token - RUN;
                self.stepped(0)
            }
            TWO_BYTES..THREE_BYTES => {
                let [a] = self.take();
                self.stepped(high(0x1f) << 8 | u64::from(a))
            }
            THREE_BYTES..FOUR_BYTES => {
                let [b, a] = self.take();
                self.stepped(high(0x07) << 16 | u64::from(u16::from_be_bytes([b, a])))
            }
            FOUR_BYTES..CHANGE => {
                let [c, b, a] = self.take();
                self.stepped(high(0x07) << 24 | u64::from(u32::from_be_bytes([0, c, b, a])))
            }
            CHANGE => {
                let zigzag = self.long();
                self.stepped(zigzag)
            }
            RAW => Brought::Value(f64::from_bits(self.long())),
            GONE => Brought::Value(STALE),
            WHOLE => self.start(Unit::One),
            THOUSANDTHS => self.start(Unit::Thousandth),
            _ => {
                let [scrapes] = self.take();
                self.absent = scrapes.saturating_sub(1);
                Brought::Nothing
            }
        }
    }

    fn advance(&mut self) -> Option<Brought> {
        if self.same > 0 {
            self.same -= 1;
            return Some(self.stepped(0));
        }
        if self.absent > 0 {
            self.absent -= 1;
            return Some(Brought::Nothing);
        }
        let (token, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(self.token(*token))
    }

    /// Goes past so many scrapes.
    pub fn pass(&mut self, mut scrapes: usize) {
        while scrapes > 0 {
            let same = scrapes.min(usize::from(self.same));
            self.same -= same as u8;
            self.state.last += self.state.step * same as i64;
            scrapes -= same;
            if scrapes > 0 {
                let Some(_) = self.advance() else { return };
                scrapes -= 1;
            }
        }
    }
}

impl Iterator for Reader<'_> {
    type Item = Option<f64>;

    fn next(&mut self) -> Option<Self::Item> {
        let brought = self.advance()?;
        Some(self.value(&brought))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(values: &[Option<f64>]) -> Vec<Option<u64>> {
        values.iter().map(|value| value.map(f64::to_bits)).collect()
    }

    /// Writes, reads back, returns the size.
    fn round(values: &[Option<f64>]) -> usize {
        let mut head = Head::default();
        for (scrape, value) in values.iter().enumerate() {
            value.iter().for_each(|value| head.push(scrape as u8, *value));
        }
        let read: Vec<Option<f64>> = Reader::new(head.bytes()).collect();
        let last = values.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        assert_eq!(bits(&read), bits(&values[..last]));
        for passed in [1, 2, 7, last / 2, last] {
            let mut reader = Reader::new(head.bytes());
            reader.pass(passed);
            let rest: Vec<Option<f64>> = reader.collect();
            assert_eq!(bits(&rest), bits(&values[passed.min(last)..last]));
        }
        assert_eq!(head.scrapes() as usize, last);
        head.bytes().len()
    }

    fn all(values: impl IntoIterator<Item = f64>) -> Vec<Option<f64>> {
        values.into_iter().map(Some).collect()
    }

    #[test]
    fn steady_counters_take_next_to_nothing() {
        assert_eq!(round(&all((0..200).map(|_| 0.0))), 9 + 4);
        assert_eq!(round(&all((0..60).map(|i| f64::from(i * 7)))), 9 + 1 + 1);
        assert!(round(&all((0..60).map(|i| f64::from(i * 600 + i % 7)))) <= 9 + 2 + 60);
    }

    #[test]
    fn every_value_comes_back_as_it_was() {
        let odd = [
            0.0,
            -0.0,
            0.1 + 0.2,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            1e300,
            -1e18,
            EXACT,
            EXACT - 1.0,
            -EXACT,
            123.456,
            123.4567,
            STALE,
            5.0,
            5.0,
            -1.0,
            1e9,
            -1e12,
            1e15,
            0.001,
        ];
        round(&all(odd));
        let around = [63, 64, 65, 66, 4095, 4096, 4097, 262_143, 262_144, 262_145, 67_108_863, 67_108_864, 67_108_865];
        round(&all(around.iter().flat_map(|n| [0.0, f64::from(*n), 0.0, -f64::from(*n)])));
    }

    #[test]
    fn gaps_and_ends_are_kept() {
        round(&[None, None, Some(3.0), Some(4.0), None, Some(5.0), Some(STALE), None, None, Some(1.5), Some(2.5), None]);
        let mut far = vec![None; 255];
        far[254] = Some(1.0);
        assert_eq!(round(&far), 2 + 9);
    }

    #[test]
    fn random_walks_come_back() {
        let mut rng = fastrand::Rng::with_seed(11);
        for _ in 0..2_000 {
            let size = 10_f64.powi(rng.i32(0..12));
            let unit = [1.0, 1_000.0, 7.0][rng.usize(0..3)];
            let mut value = 0.0;
            let values: Vec<Option<f64>> = (0..rng.usize(1..250))
                .map(|_| {
                    value += (rng.f64() * size).round() / unit;
                    match rng.u8(0..40) {
                        0 => None,
                        1 => Some(STALE),
                        2 => Some(rng.f64()),
                        3 => {
                            value = 0.0;
                            Some(value)
                        }
                        _ => Some(value),
                    }
                })
                .collect();
            round(&values);
        }
    }
}
